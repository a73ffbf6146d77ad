"""A pool of database connections that says at once when the database is gone, and recovers by itself."""

from __future__ import annotations

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from agent.localstack.connected import connected

QUICK_S = 0.5
"""Waiting longer than this for a connection is reason to see whether the database is there at all."""
PATIENCE_S = 4.5
RECONNECT_S = 2.0
"""psycopg_pool gives an attempt up after this long and tries again when the next connection is wanted."""
IDLE_S = 60.0


class NoDatabase(Exception):
    """No connection can be made; the text is libpq's."""


class Pool:
    """Connections of one role. `connection()` is one transaction: committed at its end, rolled back on an error."""

    def __init__(self, dsn: str, size: int) -> None:
        self.size = size
        self._dsn = dsn
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=size,
            reconnect_timeout=RECONNECT_S,
            max_idle=IDLE_S,
            # No caller ever meets a connection that a restart of Postgres has broken.
            check=_check,
            open=False,
        )

    async def start(self) -> None:
        """Open it and wait for the first connection. psycopg.Error (PoolTimeout) when there is none."""
        await self._pool.open()
        await self._pool.wait(PATIENCE_S)

    async def stop(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction. NoDatabase, or PoolTimeout when all of them are busy for 5 s."""
        connection = await self.take()
        try:
            async with connection:
                yield connection
        finally:
            await self._pool.putconn(connection)

    async def take(self) -> AsyncConnection:
        """A connection to keep until `give_back`. The same errors as `connection`."""
        try:
            return await self._pool.getconn(timeout=QUICK_S)
        except PoolTimeout:
            await self._probe()
            # It pauses longer after each dead connection that it meets: throw them all out at once.
            await self._pool.check()
            return await self._pool.getconn(timeout=PATIENCE_S)

    async def give_back(self, connection: AsyncConnection) -> None:
        """What `take` gave, broken or not."""
        await self._pool.putconn(connection)

    async def _probe(self) -> None:
        try:
            async with connected(self._dsn, connect_timeout=2):
                pass
        except psycopg.Error as err:
            raise NoDatabase(str(err)) from err


async def _check(connection: AsyncConnection) -> None:
    """A connection that was closed at the other end has something to read; only then is Postgres asked."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if waiting.poll(0):
        await AsyncConnectionPool.check_connection(connection)
