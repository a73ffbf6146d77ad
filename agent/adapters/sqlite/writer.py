"""One thread owns the connection. Pieces of work that wait at the same time share one transaction, hence one fsync."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.adapters.sqlite.opening import explained
from agent.errors import StateError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BATCH = 256
"""At most so many pieces of work in one transaction."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    work: Work[Any]
    done: asyncio.Future[Any]


class Writer:
    """Runs pieces of work in order, each either committed or undone.

    `glance` looks at the database after every commit (in the thread), `tell` hears what it saw (in the loop), before
    the callers do. Work must be repeatable: when a shared transaction fails, each piece is tried again alone.
    """

    def __init__(self, path: Path, glance: Work[Any], tell: Callable[[Any], None]) -> None:
        self._path = path
        self._glance = glance
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def start(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Open the connection in the thread. Raises what `connect` raises."""
        opened: asyncio.Future[Any] = self._loop.create_future()
        # A daemon: a crash elsewhere must not hang the process, and SQLite survives being cut off at any point.
        self._thread = threading.Thread(target=self._live, args=(connect, opened), name="journal", daemon=True)
        self._thread.start()
        await opened

    async def do(self, work: Work[T]) -> T:
        """Return what `work` returned once it is on disk. Raises `StateError`.

        A cancelled caller leaves its work in the queue: it is committed all the same.
        """
        if self._closed:
            raise StateError(f"{self._path}: the journal is closed")
        piece = _Piece(work=work, done=self._loop.create_future())
        self._waiting.put(piece)
        result: T = await piece.done
        return result

    async def close(self) -> None:
        """Finish the work that waits, then close the file. Safe to repeat."""
        if self._closed or self._thread is None:
            return
        self._closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    # ── in the thread ───────────────────────────────────────────────────────

    def _live(self, connect: Callable[[], sqlite3.Connection], opened: asyncio.Future[Any]) -> None:
        try:
            connection = connect()
        except Exception as error:  # noqa: BLE001 - handed to the caller, who is in another thread
            self._deliver([(opened, error)], seen=None)
            return
        with contextlib.closing(connection):
            self._deliver([(opened, None)], seen=self._glance(connection))
            while batch := self._next_batch():
                pieces = [piece for piece in batch if piece is not None]
                outcomes = self._settle(connection, pieces)
                answers = [(piece.done, outcome) for piece, outcome in zip(pieces, outcomes, strict=True)]
                self._deliver(answers, seen=self._look(connection))
                if len(pieces) < len(batch):
                    return

    def _next_batch(self) -> list[_Piece | None]:
        batch = [self._waiting.get()]
        with contextlib.suppress(queue.Empty):
            while len(batch) < BATCH and batch[-1] is not None:
                batch.append(self._waiting.get_nowait())
        return batch

    def _settle(self, connection: sqlite3.Connection, pieces: list[_Piece]) -> list[Any]:
        """What came of each piece: its result, or an exception."""
        if not pieces:
            return []
        try:
            return self._transact(connection, pieces)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who is in another thread
            if len(pieces) == 1:
                return [explained(error, self._path) if isinstance(error, sqlite3.Error) else error]
        return [self._settle(connection, [piece])[0] for piece in pieces]

    def _transact(self, connection: sqlite3.Connection, pieces: list[_Piece]) -> list[Any]:
        connection.execute("begin immediate")
        try:
            results = [piece.work(connection) for piece in pieces]
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
        return results

    def _look(self, connection: sqlite3.Connection) -> Any:
        try:
            return self._glance(connection)
        except sqlite3.Error:
            return None

    def _deliver(self, answers: list[tuple[asyncio.Future[Any], Any]], *, seen: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it everybody who would listen
            self._loop.call_soon_threadsafe(self._answer, answers, seen)

    # ── in the loop ─────────────────────────────────────────────────────────

    def _answer(self, answers: list[tuple[asyncio.Future[Any], Any]], seen: Any) -> None:
        if seen is not None:
            self._tell(seen)
        for done, outcome in answers:
            if done.cancelled():
                continue
            if isinstance(outcome, Exception):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
