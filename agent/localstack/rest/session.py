"""Running a statement as the caller: his role, his claims, his role's settings, in one transaction.

What needs no look at the result before it is committed goes to Postgres in one round trip (libpq's pipeline mode,
where everything up to the end of the pipeline is one transaction).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import psycopg

from agent.localstack.pool import Pool
from agent.localstack.refusal import Refusal
from agent.localstack.rest.catalog import SchemaCache
from agent.localstack.rest.lines import Lines
from agent.localstack.rest.wire import Row, Statement, Value, encode

OF_A_REQUEST = (
    "role",
    "request.jwt.claims",
    "request.method",
    "request.path",
    "request.headers",
    "request.cookies",
)
"""The settings in the order of `configuration`."""
BEGIN, COMMIT, ROLLBACK = Statement("begin"), Statement("commit"), Statement("rollback")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What Postgres is told about a request. `settings`: besides those of every request."""

    role: str
    claims: str
    """JSON, as `headers` and `cookies` are."""
    method: str
    path: str
    headers: str
    cookies: str
    read_only: bool
    settings: Mapping[str, str]


class Result(NamedTuple):
    """The answering row. `total`: of all rows, if counted; `inserted`: new rows of an upsert."""

    body: bytes
    rows: int
    total: int | None
    headers: str | None
    status: str | None
    inserted: int | None


Check = Callable[[Result], None]


class Session:
    """Statements on connections of `authenticator`."""

    def __init__(self, pool: Pool, cache: SchemaCache) -> None:
        self._lines = Lines(pool)
        self._cache = cache

    async def stop(self) -> None:
        """Give the connections back."""
        await self._lines.stop()

    async def run(self, context: Statement, statement: Statement, check: Check | None = None) -> Result:
        """The statement's result after `configuration`. `check` may raise before anything is committed."""
        both, schema = (context, statement), self._cache.current
        wire = await self._lines.take()
        try:
            if check is None:
                return _result((await wire.exchange(both, schema=schema))[-1])
            try:
                result = _result((await wire.exchange((BEGIN, *both), schema=schema))[-1])
                check(result)
            except (Refusal, psycopg.Error):
                await wire.exchange([ROLLBACK], schema=schema)
                raise
            await wire.exchange([COMMIT], schema=schema)
            return result
        finally:
            self._lines.give(wire)

    async def planned_rows(self, context: Statement, statement: Statement) -> int:
        """How many rows Postgres expects."""
        explained = Statement(f"explain (format json) {statement.text}", statement.values)
        wire = await self._lines.take()
        try:
            row = (await wire.exchange([context, explained], schema=self._cache.current))[-1]
        finally:
            self._lines.give(wire)
        return int(json.loads(row[0] or b"")[0]["Plan"]["Plan Rows"])


def _result(row: Row) -> Result:
    body, rows, total, headers, status, inserted = row
    return Result(
        body or b"",
        int(rows or 0),
        None if total is None else int(total),
        headers.decode() if headers else None,
        status.decode() if status else None,
        None if inserted is None else int(inserted),
    )


def configuration(context: Context) -> Statement:
    """`set_config(…)` for everything that holds for this transaction alone; what they return nobody wants to read."""
    values: list[Value] = []
    for name, value in context.settings.items():
        values += (name, value)
    values += (context.role, context.claims, context.method, context.path, context.headers, context.cookies)
    return Statement(_set_config(len(context.settings), context.read_only), values, encode(values))


@cache
def _set_config(more: int, read_only: bool) -> str:  # noqa: FBT001 # of `cache`
    calls = [f"set_config(${2 * number + 1}, ${2 * number + 2}, true)" for number in range(more)]
    calls += [f"set_config('{name}', ${2 * more + number}, true)" for number, name in enumerate(OF_A_REQUEST, 1)]
    calls.append("""set_config('search_path', '"public", "extensions"', true)""")
    calls.append(f"set_config('transaction_read_only', '{'on' if read_only else 'off'}', true)")
    return f"select num_nulls({', '.join(calls)})"
