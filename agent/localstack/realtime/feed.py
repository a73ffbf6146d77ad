"""The change feed: a temporary logical replication slot, read with `psycopg.pq`, for ever.

Nothing outlives the connection: after `kill -9` or a restart of Postgres no slot holds back its log, and changes made
while no feed was up are not told (as on the genuine server, whose slot is temporary too).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import struct
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog
from psycopg import pq

from agent.localstack.realtime.database import MESSAGES_PUBLICATION, PUBLICATION
from agent.localstack.realtime.pgoutput import Change, Decoder, Relation

RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 5.0
STATUS_EVERY_S = 5.0
"""How often Postgres is told how far we are; it gives up a silent reader after `wal_sender_timeout` (60 s)."""
MAX_PENDING = 256
"""Changes decoded before they are delivered, while more are waiting to be read."""
_LOG = structlog.get_logger()

Deliver = Callable[[Sequence[Change]], Awaitable[None]]
Wanted = Callable[[Relation], bool]


class Feed:
    """Reads changes and hands them to `deliver`, one batch at a time, in commit order.

    Interrupted, it resumes by itself and says nothing: what was committed meanwhile is lost to the subscribers, as it
    was on a genuine server (v2.122) whose Postgres was restarted.
    """

    def __init__(self, dsn: str, deliver: Deliver, wanted: Wanted) -> None:
        """`wanted`: whether anybody listens to a table; changes of others are passed over."""
        self._dsn = dsn
        self._deliver = deliver
        self._wanted = wanted
        self.live = asyncio.Event()
        """Set while a change committed now would be delivered."""

    async def run(self) -> None:
        """Never returns; reconnects with jittered backoff."""
        delay = RETRY_FIRST_S
        while True:
            try:
                await self._follow()
            except (psycopg.Error, OSError) as err:
                if self.live.is_set():
                    delay = RETRY_FIRST_S
                _LOG.warning("the change feed was interrupted", error=str(err).strip(), retry_in_s=round(delay, 1))
            except Exception:  # noqa: BLE001 # a change that we cannot handle must not silence all that follow
                _LOG.exception("the change feed failed", retry_in_s=round(delay, 1))
            finally:
                self.live.clear()
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret
            delay = min(RETRY_LONGEST_S, delay * 2)

    async def _follow(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, replication="database", application_name="cronmirror realtime feed"
        )
        try:
            slot = f"realtime_local_{secrets.token_hex(8)}"
            await connection.execute(
                f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT'.encode()
            )
            stream = _Stream(connection.pgconn)
            await stream.start(slot)
            self.live.set()
            _LOG.info("the change feed is live")
            await self._read(stream)
        finally:
            await connection.close()

    async def _read(self, stream: _Stream) -> None:
        decoder = Decoder(wanted=self._wanted)
        pending: list[Change] = []
        while True:
            message = stream.next()
            if message is not None:
                change = decoder.decode(message)
                if change is not None:
                    pending.append(change)
            if pending and (message is None or len(pending) >= MAX_PENDING):
                await self._deliver(pending)
                pending = []
            elif message is None:
                await stream.wait()


class _Stream:
    """COPY BOTH mode of one replication connection: messages come, progress goes back."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._seen = 0
        self._told_at = self._loop.time()

    async def start(self, slot: str) -> None:
        """Begin at the slot's consistent point."""
        options = f"proto_version '1', publication_names '\"{PUBLICATION}\",\"{MESSAGES_PUBLICATION}\"'"
        self._connection.send_query(f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 ({options})'.encode())
        self._connection.flush()
        while self._connection.is_busy():
            await self._readable(None)
        result = self._connection.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            reason = "no answer" if result is None else result.get_error_message()
            raise psycopg.OperationalError(f"replication did not start: {reason}")

    def next(self) -> bytes | None:
        """The next pgoutput message; None when there is none yet. OperationalError at the end of the stream."""
        while True:
            size, data = self._connection.get_copy_data(1)
            if size == 0:
                self._tell_if_due()
                return None
            if size < 0:
                result = self._connection.get_result()
                reason = "" if result is None else result.get_error_message()
                raise psycopg.OperationalError(f"Postgres ended the replication stream {reason}")
            frame = bytes(data)
            if frame[:1] == b"w":
                self._seen = max(self._seen, struct.unpack_from(">Q", frame, 9)[0])
                return frame[25:]
            if frame[:1] == b"k":
                position, _clock, wants_answer = struct.unpack_from(">QqB", frame, 1)
                self._seen = max(self._seen, position)
                if wants_answer:
                    self._tell()

    async def wait(self) -> None:
        """Return when there is something to read, or when it is time to report progress."""
        with contextlib.suppress(TimeoutError):
            await self._readable(STATUS_EVERY_S)
        self._tell_if_due()

    def _tell_if_due(self) -> None:
        if self._loop.time() - self._told_at >= STATUS_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        """A standby status update: written, flushed, applied; no clock, no answer wanted.

        It lets Postgres drop its log; nothing is ever asked for again, so what is read counts as applied.
        """
        self._told_at = self._loop.time()
        self._connection.put_copy_data(struct.pack(">cQQQqB", b"r", self._seen, self._seen, self._seen, 0, 0))
        self._connection.flush()

    async def _readable(self, timeout_s: float | None) -> None:
        ready = asyncio.Event()
        descriptor = self._connection.socket
        self._loop.add_reader(descriptor, ready.set)
        try:
            async with asyncio.timeout(timeout_s):  # wait_for may swallow the cancellation of `stop` (Python 3.11)
                await ready.wait()
        finally:
            self._loop.remove_reader(descriptor)
        self._connection.consume_input()
