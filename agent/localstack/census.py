"""How large a stack's database is, in the words of `cronmirror local status`."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from agent.localstack.connected import connected
from agent.localstack.queries import load

SQL = load("census.sql")


async def census(dsn: str) -> dict[str, Any]:
    """`postgres, database_bytes, schema, users, projects, members`; empty when the database does not answer."""
    try:
        async with connected(dsn, row_factory=dict_row, connect_timeout=5) as connection:
            return await (await connection.execute(SQL["census"])).fetchone() or {}
    except psycopg.Error:
        return {}
