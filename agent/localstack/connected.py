"""A connection for one piece of work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg


@asynccontextmanager
async def connected(dsn: str, **how: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """As `AsyncConnection.connect` under `async with`, but closed also when its last commit is called off.

    psycopg (3.3) leaves it open then: a stack that stops while it reads the catalog would leak a connection.
    """
    connection = await psycopg.AsyncConnection.connect(dsn, **how)
    try:
        async with connection:
            yield connection
    finally:
        await connection.close()
