"""Several statements in one round trip, by libpq's pipeline mode; what comes often is prepared.

Below psycopg's cursors, which cost more than Postgres takes for a small query. Everything between two syncs is one
transaction unless the statements say otherwise.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

Value = str | bytes | None
Row = tuple[bytes | None, ...]
"""Texts, as Postgres sends them: UTF-8."""
Encoded = tuple[list[bytes | None], list[int]]
OFTEN = 2
"""A statement is prepared when it comes for this time: texts that never come again need no plan kept."""
MOST_SEEN = 2000
MOST_PREPARED = 200
CANCEL_S = 5.0
_numbers = itertools.count()


class Statement(NamedTuple):
    """SQL with `$n`, and its parameters: texts of unknown type, or bytes (bytea)."""

    text: str
    values: Sequence[Value] = ()
    encoded: Encoded | None = None
    """The values as `encode` makes them, for a statement that comes again as it is."""


class Often:
    """Counts texts, and says which of them come often enough to be prepared."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()

    def __call__(self, text: str) -> bool:
        """Whether it has come often, this time included."""
        times = self._seen.pop(text, 0) + 1
        self._seen[text] = times
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return times >= OFTEN


class Wire:
    """Sends statements on one connection in autocommit: until `release` in pipeline mode, and watched by the loop."""

    def __init__(self, connection: AsyncConnection, often: Often) -> None:
        self.connection = connection
        self._often = often
        self._names: dict[str, bytes] = {}
        """What is prepared: text → name, for one state of the schema."""
        self._schema: object = None
        self._pgconn: PGconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self.loop = asyncio.get_running_loop()
        self._answers = Answers(self._pgconn, self.release)
        self._socket = connection.fileno()
        self.loop.add_reader(self._socket, self._answers.read)

    @property
    def sound(self) -> bool:
        """Whether it may be used: one that is closed at the other end has been read to its end by now."""
        return self._socket >= 0 and self._pgconn.status == ConnStatus.OK

    @property
    def idle(self) -> bool:
        """Whether nothing is left over of an exchange: no transaction, no answer."""
        return self._pgconn.transaction_status == TransactionStatus.IDLE

    def release(self) -> AsyncConnection:
        """The connection, for somebody else to watch."""
        if self._socket >= 0:
            self.loop.remove_reader(self._socket)
            self.loop.remove_writer(self._socket)
            self._socket = -1
            if self._pgconn.transaction_status in _AT_REST:
                self._pgconn.exit_pipeline_mode()
        return self.connection

    async def exchange(self, statements: Sequence[Statement], *, schema: object) -> list[Row]:
        """The first row of each statement (`()` where there is none). psycopg.Error if one fails.

        `schema`: when it is another object than before, plans are forgotten: types may have changed.
        """
        values = [each.encoded or encode(each.values) for each in statements]
        try:
            sent = self._send(statements, values, schema)
            done = self._answers.expect(self.loop)
            if self._pgconn.flush():
                self.loop.add_writer(self._socket, self._flush)
            await done
        except asyncio.CancelledError:
            await self._give_up()
            raise
        except BaseException:
            self._finish()
            raise
        return self._rows(sent, self._answers.found)

    def _send(self, statements: Sequence[Statement], values: Sequence[Encoded], schema: object) -> list[str | None]:
        """What is asked, in order: the text that is being prepared, or None for a statement itself."""
        pgconn, names = self._pgconn, self._names
        sent: list[str | None] = []
        if self._schema is not schema or len(names) > MOST_PREPARED:
            self._schema = schema
            if names:
                names.clear()
                pgconn.send_query_params(b"deallocate all", None)
                sent.append("")
        for statement, (given, formats) in zip(statements, values, strict=True):
            name = names.get(statement.text)
            if name is None and self._often(statement.text):
                name = names[statement.text] = b"c%d" % next(_numbers)
                pgconn.send_prepare(name, statement.text.encode())
                sent.append(statement.text)
            if name is None:
                pgconn.send_query_params(statement.text.encode(), given, param_formats=formats)
            else:
                pgconn.send_query_prepared(name, given, param_formats=formats)
            sent.append(None)
        pgconn.pipeline_sync()
        return sent

    def _flush(self) -> None:
        """The socket takes more of what libpq still holds."""
        try:
            if not self._pgconn.flush():
                self.loop.remove_writer(self._socket)
        except psycopg.Error as err:
            self.release()
            self._answers.fail(err)

    async def _give_up(self) -> None:
        """Whoever asked does not wait any more: nor need Postgres go on."""
        try:
            await self.connection.cancel_safe(timeout=CANCEL_S)
        except psycopg.Error:
            pass
        finally:
            self._finish()

    def _finish(self) -> None:
        """Nobody knows what is still on its way: this connection is of no use any more."""
        self.release()
        self._pgconn.finish()

    def _rows(self, sent: Sequence[str | None], results: Sequence[PGresult]) -> list[Row]:
        rows: list[Row] = []
        failed: PGresult | None = None
        for asked, result in itertools.zip_longest(sent, results):
            if result is None or result.status in _FAILED:
                if failed is None and result is not None and result.status == _FATAL:
                    failed = result
                if asked:
                    self._names.pop(asked, None)
            elif asked is None:
                rows.append(_first(result))
        if failed is not None:
            raise error_from_result(failed)
        return rows


_AT_REST = {TransactionStatus.IDLE, TransactionStatus.INTRANS, TransactionStatus.INERROR}
_SYNC, _FATAL = int(ExecStatus.PIPELINE_SYNC), int(ExecStatus.FATAL_ERROR)
_FAILED = {_FATAL, int(ExecStatus.PIPELINE_ABORTED)}


class Answers:
    """What a connection answers: one result for each thing that was sent (an error may come after them all)."""

    def __init__(self, pgconn: PGconn, lost: Callable[[], object]) -> None:
        """`lost`: ends the watching; a socket at its end would be readable for ever."""
        self._pgconn = pgconn
        self._lost = lost
        self._done: asyncio.Future[None] | None = None
        self.found: list[PGresult] = []

    def expect(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done once everything up to the sync is there, in `found`; psycopg.Error when it will never be."""
        self.found = []
        self._done = loop.create_future()
        return self._done

    def read(self) -> None:
        """The socket has something: an answer, or the news that nobody is at its other end."""
        try:
            self._pgconn.consume_input()
            if self._done is not None and self._collected():
                self._settle(None)
        except psycopg.Error as err:
            self._lost()
            self.fail(err)

    def fail(self, err: psycopg.Error) -> None:
        """Nothing more will come."""
        self._settle(err)

    def _settle(self, err: psycopg.Error | None) -> None:
        done, self._done = self._done, None
        if done is None or done.done():
            return
        if err is None:
            done.set_result(None)
        else:
            done.set_exception(err)

    def _collected(self) -> bool:
        pgconn = self._pgconn
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                # The end of one statement's results; but of a lost connection libpq says nothing else, for ever.
                if pgconn.status == ConnStatus.BAD:
                    raise psycopg.OperationalError(pgconn.error_message.decode("utf-8", "replace"))
            elif result.status == _SYNC:
                return True
            else:
                self.found.append(result)
        return False


def encode(values: Sequence[Value]) -> Encoded:
    """Parameters as libpq takes them."""
    given = [encode_text(value) if isinstance(value, str) else value for value in values]
    return given, [int(isinstance(value, bytes)) for value in values]


def encode_text(value: str) -> bytes:
    """A text as libpq takes it. One with NUL would be cut there; it is refused in psycopg's own words."""
    if "\x00" in value:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return value.encode("utf-8", "replace")


def _first(result: PGresult) -> Row:
    if not result.ntuples:
        return ()
    return tuple([result.get_value(0, column) for column in range(result.nfields)])
