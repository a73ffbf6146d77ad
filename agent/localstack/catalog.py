"""PostgREST's schema cache: which tables, columns and functions of `public` exist. Identifiers come from here alone.

Reloaded on `notify pgrst, 'reload schema'` (bootstrap sends one after every DDL); a miss waits for a fresh look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import psycopg
import structlog
from psycopg.rows import dict_row

from agent.localstack.queries import load

log = structlog.get_logger()

SQL = load("catalog.sql")
APART_S = 0.2
"""Least time between two looks that misses cause: a flood of unknown names stays cheap."""
LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table or view and its columns: name → type as Postgres writes it."""

    name: str
    columns: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Function:
    """One overload of a function."""

    name: str
    inputs: Mapping[str, str]
    """Argument → type, in order."""
    required: frozenset[str]
    returns_set: bool
    returns_row: bool
    """A composite: JSON object(s) instead of scalar(s)."""
    returns_void: bool
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """One state of the cache."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    functions: Mapping[str, tuple[Function, ...]] = field(default_factory=dict)


class SchemaCache:
    """Keeps a Catalog current through one connection that listens on `pgrst`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self.current = Catalog()

    async def start(self) -> None:
        """Load once (psycopg.Error if that fails), then follow notifications."""
        await self.reload()
        self._listener = asyncio.create_task(self._listen(), name="localstack-schema-cache")

    async def stop(self) -> None:
        """End the listener."""
        if self._listener:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None

    async def table(self, name: str, columns: Collection[str] = ()) -> Table | None:
        """A table by name, after a second look if it or one of `columns` is unknown."""
        known = self.current.tables.get(name)
        if known is None or not known.columns.keys() >= set(columns):
            await self._look_again()
        return self.current.tables.get(name)

    async def functions(self, name: str) -> tuple[Function, ...]:
        """The overloads of a function, after a second look if there are none."""
        if name not in self.current.functions:
            await self._look_again()
        return self.current.functions.get(name, ())

    async def reload(self, *, since: float = float("inf")) -> None:
        """Read the catalog anew, unless somebody has begun to after `since` (monotonic) in the meantime."""
        async with self._lock:
            began = time.monotonic()
            if self._loaded_at >= since:
                return
            async with await psycopg.AsyncConnection.connect(self._dsn, connect_timeout=5) as connection:
                self.current = await _read(connection)
            self._loaded_at = began

    async def _look_again(self) -> None:
        """Wait for a catalog that was read after now."""
        asked = time.monotonic()
        await asyncio.sleep(max(0.0, self._loaded_at + APART_S - asked))
        if self._loaded_at < asked:
            await self.reload(since=asked)

    async def _listen(self) -> None:
        pause = 0.05
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=5
                ) as connection:
                    await connection.execute("listen pgrst")
                    await self.reload()
                    pause = 0.05
                    async for _ in connection.notifies():
                        await self.reload()
            except psycopg.Error as err:
                log.debug("schema cache listener lost its connection", error=str(err))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


async def _read(connection: psycopg.AsyncConnection) -> Catalog:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(SQL["tables"])
        tables = {row["name"]: Table(name=row["name"], columns=row["columns"]) for row in await cursor.fetchall()}
        await cursor.execute(SQL["functions"])
        functions: dict[str, list[Function]] = {}
        for row in await cursor.fetchall():
            inputs = {each["name"]: each["type"] for each in row["inputs"]}
            nameable = "" not in inputs and len(inputs) == len(row["inputs"]) and row["inputs_first"]
            if row["variadic"] or not nameable:
                continue
            names = list(inputs)
            required = frozenset(names[: len(names) - row["defaults"]])
            kept = {key: row[key] for key in ("name", "returns_set", "returns_row", "returns_void", "read_only")}
            functions.setdefault(row["name"], []).append(Function(inputs=inputs, required=required, **kept))
    return Catalog(tables=tables, functions={name: tuple(found) for name, found in functions.items()})
