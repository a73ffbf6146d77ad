"""Running a statement as the caller: his role, his claims, his role's settings, in one transaction.

What needs no look at the result before it is committed goes to Postgres in one round trip (libpq's pipeline mode,
where everything up to the end of the pipeline is one transaction).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor

from agent.localstack.access import Caller
from agent.localstack.pool import Pool
from agent.localstack.rest.reading import Statement
from agent.localstack.rest.sql import Parameters

NONE: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What Postgres is told about a request. `settings`: besides those of every request."""

    caller: Caller
    method: str
    path: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    read_only: bool
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The answering row. `total`: of all rows, if counted; `inserted`: new rows of an upsert."""

    body: str
    rows: int
    total: int | None
    headers: str | None
    status: str | None
    inserted: int | None


Check = Callable[[Result], None]


class Session:
    """Statements on connections of `authenticator`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, context: Context, statement: Statement, check: Check | None = None) -> Result:
        """The statement's result. `check` may raise before anything is committed."""
        async with self._pool.lease() as connection:
            if check is None:
                return await _piped(connection, context, statement)
            async with connection.transaction():
                result = await _piped(connection, context, statement)
                check(result)
            return result

    async def planned_rows(self, context: Context, statement: Statement) -> int:
        """How many rows Postgres expects."""
        explained = Statement(text=f"explain (format json) {statement.text}", values=statement.values)
        async with self._pool.lease() as connection:
            row = await _row(connection, context, explained)
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        return int(plan[0]["Plan"]["Plan Rows"])


async def _piped(connection: AsyncConnection, context: Context, statement: Statement) -> Result:
    body, rows, total, headers, status, inserted = await _row(connection, context, statement)
    return Result(body=body, rows=rows, total=total, headers=headers or None, status=status or None, inserted=inserted)


async def _row(connection: AsyncConnection, context: Context, statement: Statement) -> tuple[Any, ...]:
    text, values = configuration(context)
    async with connection.pipeline():
        configure, cursor = AsyncRawCursor(connection), AsyncRawCursor(connection)
        await configure.execute(text.encode(), values)
        await cursor.execute(statement.text.encode(), statement.values)
        row = await cursor.fetchone()
    if row is None:  # every statement of ours aggregates
        raise RuntimeError("the statement returned no row")
    return row


def configuration(context: Context) -> tuple[str, list[Any]]:
    """`select set_config(…)` for everything that holds for this transaction alone."""
    caller = context.caller
    settings = {
        "role": caller.role,
        "search_path": '"public", "extensions"',
        "request.jwt.claims": json.dumps(caller.claims),
        "request.method": context.method,
        "request.path": context.path,
        "request.headers": json.dumps(dict(context.headers)),
        "request.cookies": json.dumps(dict(context.cookies)),
        "transaction_read_only": "on" if context.read_only else "off",
        **context.settings,
    }
    parameters = Parameters()
    calls = (f"set_config({parameters.add(name)}, {parameters.add(value)}, true)" for name, value in settings.items())
    return f"select {', '.join(calls)}", parameters.values
