"""Connections at hand: taken from the pool once, and kept while requests follow one another.

psycopg's pool is careful and takes longer over each loan than Postgres over a small query. It still makes the
connections, mends them, and gets them back when they are broken, when nobody wants them for a while, and at the end.
"""

from __future__ import annotations

import asyncio
from collections import deque

from psycopg import AsyncConnection
from psycopg_pool import PoolTimeout

from agent.localstack.pool import PATIENCE_S, QUICK_S, Pool
from agent.localstack.rest.wire import Often, Wire

IDLE_S = 30.0
"""Who has not been wanted for so long goes back to the pool."""


class Lines:
    """Lends wires on the connections of one pool, of which it is the only user."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._often = Often()
        self._idle: deque[tuple[float, Wire]] = deque()
        """Since when, and which; the one that was used last is taken first."""
        self._out = 0
        """Taken from the pool, idle ones included."""
        self._waiting: deque[tuple[float, asyncio.Future[Wire | None]]] = deque()
        """Until when, and for what."""
        self._impatience: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._returning: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Everything that is not lent goes back to the pool."""
        for timer in (self._sweep, self._impatience):
            if timer:
                timer.cancel()
        while self._idle:
            self._return(self._idle.pop()[1])
        await asyncio.gather(*self._returning, return_exceptions=True)

    async def take(self) -> Wire:
        """One for `give`. NoDatabase, or PoolTimeout when all of them are busy for 5 s."""
        while self._idle:
            wire = self._idle.pop()[1]
            if wire.sound:
                return wire
            self._return(wire)
        if self._out < self._pool.size:
            return await self._another()
        return await self._next() or await self._another()

    def give(self, wire: Wire) -> None:
        """Back from `take`, whatever became of it."""
        usable = wire.idle
        while self._waiting:
            waiting = self._waiting.popleft()[1]
            if not waiting.done():
                if usable:
                    waiting.set_result(wire)
                else:
                    self._return(wire)
                    waiting.set_result(None)
                return
        if not usable:
            self._return(wire)
            return
        self._idle.append((wire.loop.time(), wire))
        if self._sweep is None:
            self._sweep = wire.loop.call_later(IDLE_S, self._return_idle)

    async def _another(self) -> Wire:
        """From the pool."""
        self._out += 1
        connection: AsyncConnection | None = None
        try:
            connection = await self._pool.take()
            if not connection.autocommit:
                await connection.set_autocommit(True)
            return Wire(connection, self._often)
        except BaseException:
            self._out -= 1
            if connection is not None:
                self._give_back(connection)
            self._call_next()
            raise

    async def _next(self) -> Wire | None:
        """The next that comes back; None when one may be taken from the pool instead."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Wire | None] = loop.create_future()
        self._waiting.append((loop.time() + QUICK_S + PATIENCE_S, waiting))
        if self._impatience is None:
            self._impatience = loop.call_later(QUICK_S + PATIENCE_S, self._refuse_who_waited)
        try:
            return await waiting
        except asyncio.CancelledError:
            if not waiting.cancelled() and waiting.exception() is None:  # it came in the same moment
                self._pass_on(waiting.result())
            raise

    def _refuse_who_waited(self) -> None:
        """For too long. One timer for all of them: one for each costs more than the wait."""
        loop = asyncio.get_running_loop()
        self._impatience = None
        while self._waiting and (self._waiting[0][0] <= loop.time() or self._waiting[0][1].done()):
            waiting = self._waiting.popleft()[1]
            if not waiting.done():
                waiting.set_exception(PoolTimeout("every connection is busy"))
        if self._waiting:
            self._impatience = loop.call_at(self._waiting[0][0], self._refuse_who_waited)

    def _pass_on(self, wire: Wire | None) -> None:
        if wire is None:
            self._call_next()
        else:
            self.give(wire)

    def _call_next(self) -> None:
        """Whoever waits may try the pool."""
        while self._waiting:
            waiting = self._waiting.popleft()[1]
            if not waiting.done():
                waiting.set_result(None)
                return

    def _return(self, wire: Wire) -> None:
        self._out -= 1
        self._give_back(wire.release())

    def _give_back(self, connection: AsyncConnection) -> None:
        task = asyncio.create_task(self._pool.give_back(connection), name="localstack-line-returned")
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    def _return_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0][0] <= loop.time() - IDLE_S:
            self._return(self._idle.popleft()[1])
        left = self._idle[0][0] + IDLE_S - loop.time() if self._idle else None
        self._sweep = None if left is None else loop.call_later(left, self._return_idle)
