"""Several statements in one round trip, by libpq's pipeline mode; what comes often is prepared.

Below psycopg's cursors, which cost more than Postgres takes for a small query. Everything between two syncs is one
transaction unless the statements say otherwise.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

Value = str | bytes | None
Row = tuple[str | None, ...]
OFTEN = 2
"""A statement is prepared when it comes for this time: texts that never come again need no plan kept."""
MOST_SEEN = 2000
MOST_PREPARED = 200
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `$n`, and its parameters: texts of unknown type, or bytes (bytea)."""

    text: str
    values: Sequence[Value] = ()


@dataclass(slots=True)
class _Kept:
    """What a connection has prepared: text → name, for one state of the schema."""

    schema: object = None
    names: dict[str, bytes] = field(default_factory=dict)


class Wire:
    """Sends statements on connections that it is lent."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[AsyncConnection, _Kept] = WeakKeyDictionary()
        self._seen: OrderedDict[str, int] = OrderedDict()

    async def exchange(
        self, connection: AsyncConnection, statements: Sequence[Statement], *, schema: object
    ) -> list[Row]:
        """The first row of each statement (`()` where there is none). psycopg.Error if one fails.

        `schema`: when it is another object than before, plans are forgotten: types may have changed.
        """
        values = [_encoded(each.values) for each in statements]
        kept = self._kept.setdefault(connection, _Kept())
        pgconn = connection.pgconn
        sent: list[str | None] = []
        """What is asked, in order: the text that is being prepared, or None for a statement itself."""
        try:
            pgconn.enter_pipeline_mode()
            if kept.schema is not schema or len(kept.names) > MOST_PREPARED:
                kept.schema = schema
                if kept.names:
                    kept.names.clear()
                    pgconn.send_query_params(b"deallocate all", None)
                    sent.append("")
            for statement, (given, formats) in zip(statements, values, strict=True):
                name = kept.names.get(statement.text)
                if name is None and self._often(statement.text):
                    name = kept.names[statement.text] = b"c%d" % next(_numbers)
                    pgconn.send_prepare(name, statement.text.encode())
                    sent.append(statement.text)
                if name is None:
                    pgconn.send_query_params(statement.text.encode(), given, param_formats=formats)
                else:
                    pgconn.send_query_prepared(name, given, param_formats=formats)
                sent.append(None)
            pgconn.pipeline_sync()
            results = await connection.wait(_results(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            # Nobody knows what is still on its way: this connection is of no use any more.
            pgconn.finish()
            raise
        return _rows(kept, sent, results)

    def _often(self, text: str) -> bool:
        times = self._seen.pop(text, 0) + 1
        self._seen[text] = times
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return times >= OFTEN


def _encoded(values: Sequence[Value]) -> tuple[list[bytes | None], list[int]]:
    """Parameters as libpq takes them. A text with NUL would be cut there; it is refused in psycopg's own words."""
    given: list[bytes | None] = []
    for value in values:
        if isinstance(value, str):
            if "\x00" in value:
                raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            given.append(value.encode("utf-8", "replace"))
        else:
            given.append(value)
    return given, [int(isinstance(value, bytes)) for value in values]


def _results(pgconn: PGconn) -> Generator[Wait, Ready | int, list[PGresult]]:
    """Everything up to the sync, one result for each thing that was sent (an error may come after them all)."""
    found: list[PGresult] = []
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return found
        found.append(result)


def _rows(kept: _Kept, sent: Sequence[str | None], results: Sequence[PGresult]) -> list[Row]:
    rows: list[Row] = []
    failed: PGresult | None = None
    for asked, result in itertools.zip_longest(sent, results):
        if result is None or result.status in {ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED}:
            if failed is None and result is not None and result.status == ExecStatus.FATAL_ERROR:
                failed = result
            if asked:
                kept.names.pop(asked, None)
        elif asked is None:
            rows.append(_first(result))
    if failed is not None:
        raise error_from_result(failed)
    return rows


def _first(result: PGresult) -> Row:
    if not result.ntuples:
        return ()
    cells = (result.get_value(0, column) for column in range(result.nfields))
    return tuple(None if cell is None else cell.decode() for cell in cells)
