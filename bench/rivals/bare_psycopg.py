"""psycopg alone: `python -m bench.rivals.bare_psycopg '{"dsn", "verb", "connections", "as_user", …}'`.

The statement prepared, a connection for each that asks, no pool. `as_user`: in a transaction with role and claims, in
one round trip, as the gateway does it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any, LiteralString

import psycopg

from bench.figures import Figures
from bench.throughput_http import timed

Session = psycopg.AsyncConnection[tuple[Any, ...]]
STATEMENTS: dict[str, LiteralString] = {
    "select": "select id, body, n from bench_rows where id = %s",
    "insert": "insert into bench_log (owner, body) values (%s, %s)",
    "rpc": "select bench_add(%s, %s)",
}
IDENTITY = "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)"


class Asker:
    """One connection."""

    def __init__(self, session: Session, asked: dict[str, Any]) -> None:
        self._session = session
        self._verb = asked["verb"]
        self._sub = asked["sub"]
        self._claims = json.dumps({"sub": asked["sub"], "role": "authenticated"}) if asked["as_user"] else None

    async def ask(self) -> None:
        """One statement, its rows fetched."""
        if self._claims is None:
            await self._execute()
            return
        async with self._session.pipeline():  # up to its end it is one transaction
            await self._session.execute(IDENTITY, (self._claims,), prepare=True)
            await self._execute()

    async def _execute(self) -> None:
        cursor = await self._session.execute(STATEMENTS[self._verb], self._values(), prepare=True)
        if self._verb != "insert":
            await cursor.fetchall()

    def _values(self) -> tuple[Any, ...]:
        if self._verb == "select":
            return (random.randrange(1000),)  # noqa: S311 # any row
        return (self._sub, "something that happened") if self._verb == "insert" else (1, 2)


async def main(asked: dict[str, Any]) -> Figures:
    """So many connections, until the window is over."""
    sessions = [
        await psycopg.AsyncConnection.connect(asked["dsn"], autocommit=True) for _ in range(asked["connections"])
    ]
    figures = await timed([Asker(each, asked).ask for each in sessions], asked["window_s"])
    for each in sessions:
        await each.close()
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))), flush=True)
