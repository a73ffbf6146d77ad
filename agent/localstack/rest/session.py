"""Running a statement as the caller: his role, his claims, his role's settings, in one transaction.

What needs no look at the result before it is committed goes to Postgres in one round trip (libpq's pipeline mode,
where everything up to the end of the pipeline is one transaction).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection

from agent.localstack.access import Caller
from agent.localstack.pool import Pool
from agent.localstack.refusal import Refusal
from agent.localstack.rest.catalog import SchemaCache
from agent.localstack.rest.sql import Parameters
from agent.localstack.rest.wire import Row, Statement, Wire

BEGIN, COMMIT, ROLLBACK = Statement("begin"), Statement("commit"), Statement("rollback")


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

    def __init__(self, pool: Pool, cache: SchemaCache) -> None:
        self._pool = pool
        self._cache = cache
        self._wire = Wire()

    async def run(self, context: Context, statement: Statement, check: Check | None = None) -> Result:
        """The statement's result. `check` may raise before anything is committed."""
        both = [configuration(context), statement]
        async with self._pool.lease() as connection:
            if check is None:
                return _result((await self._exchange(connection, both))[-1])
            try:
                result = _result((await self._exchange(connection, [BEGIN, *both]))[-1])
                check(result)
            except (Refusal, psycopg.Error):
                await self._exchange(connection, [ROLLBACK])
                raise
            await self._exchange(connection, [COMMIT])
            return result

    async def planned_rows(self, context: Context, statement: Statement) -> int:
        """How many rows Postgres expects."""
        explained = Statement(f"explain (format json) {statement.text}", statement.values)
        async with self._pool.lease() as connection:
            row = (await self._exchange(connection, [configuration(context), explained]))[-1]
        return int(json.loads(row[0] or "")[0]["Plan"]["Plan Rows"])

    async def _exchange(self, connection: AsyncConnection, statements: Sequence[Statement]) -> list[Row]:
        return await self._wire.exchange(connection, statements, schema=self._cache.current)


def _result(row: Row) -> Result:
    body, rows, total, headers, status, inserted = row
    return Result(
        body=body or "",
        rows=int(rows or 0),
        total=_number(total),
        headers=headers or None,
        status=status or None,
        inserted=_number(inserted),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def configuration(context: Context) -> Statement:
    """`select set_config(…)` for everything that holds for this transaction alone."""
    caller = context.caller
    settings = {
        **context.settings,
        "role": caller.role,
        "search_path": '"public", "extensions"',
        "request.jwt.claims": json.dumps(caller.claims),
        "request.method": context.method,
        "request.path": context.path,
        "request.headers": json.dumps(dict(context.headers)),
        "request.cookies": json.dumps(dict(context.cookies)),
        "transaction_read_only": "on" if context.read_only else "off",
    }
    parameters = Parameters()
    calls = (f"set_config({parameters.add(name)}, {parameters.add(value)}, true)" for name, value in settings.items())
    return Statement(f"select {', '.join(calls)}", parameters.values)
