"""PostgREST's schema cache: what is in `public`. Identifiers, types and default expressions come from here alone.

Reloaded on `notify pgrst, 'reload schema'` (bootstrap sends one after every DDL); a miss waits for a fresh look.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from psycopg.rows import dict_row

from agent.localstack.connected import connected
from agent.localstack.queries import load
from agent.localstack.rest.relations import ForeignKey, Relation, relations

log = structlog.get_logger()

SQL = load("rest/catalog.sql")
APART_S = 0.2
"""Least time between two looks that misses cause: a flood of unknown names stays cheap."""
LONGEST_PAUSE_S = 2.0
SPELLINGS = {
    "int": "integer",
    "integer": "integer",
    "bigint": "bigint",
    "smallint": "smallint",
    "real": "real",
    "float": "double precision",
    "double precision": "double precision",
    "boolean": "boolean",
    "decimal": "numeric",
    "dec": "numeric",
    "char": "character",
    "character": "character",
    "character varying": "character varying",
    "timestamp with time zone": "timestamp with time zone",
    "timestamp without time zone": "timestamp without time zone",
    "time with time zone": "time with time zone",
    "time without time zone": "time without time zone",
}
"""Names of types that are SQL's grammar, not in the catalog."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnInfo:
    """A column: its type as Postgres writes it, the type below a domain, the expression an insert may fill in."""

    name: str
    type: str
    base: str
    default: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table or view."""

    name: str
    columns: Mapping[str, ColumnInfo]
    key: tuple[str, ...] = ()
    computed: Mapping[str, str] = field(default_factory=dict)
    """Functions of its row that read like columns: name → type."""
    relations: tuple[Relation, ...] = ()
    is_view: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """One overload of a function."""

    name: str
    inputs: tuple[tuple[str, str], ...]
    """Argument and type, in order; the name is empty where it has none."""
    required: frozenset[str]
    variadic: bool
    outputs: Mapping[str, str]
    """Columns of the result, where it is composite."""
    returns_set: bool
    returns_row: bool
    returns_void: bool
    returns_table: str | None
    """The table whose rows it returns."""
    read_only: bool
    timeout: str | None


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """One state of the cache."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    functions: Mapping[str, tuple[Function, ...]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    """What a cast may name → how Postgres is told."""
    roles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Role → setting → value."""


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

    async def reload(self, *, since: float = float("inf")) -> None:
        """Read the catalog anew, unless somebody has begun to after `since` (monotonic) in the meantime."""
        async with self._lock:
            began = time.monotonic()
            if self._loaded_at >= since:
                return
            async with connected(self._dsn, connect_timeout=5) as connection:
                self.current = await _read(connection)
            self._loaded_at = began

    async def look_again(self) -> None:
        """Wait for a catalog that was read after now."""
        asked = time.monotonic()
        await asyncio.sleep(max(0.0, self._loaded_at + APART_S - asked))
        if self._loaded_at < asked:
            await self.reload(since=asked)

    async def _listen(self) -> None:
        pause = 0.05
        while True:
            try:
                async with connected(self._dsn, autocommit=True, connect_timeout=5) as connection:
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
    rows: dict[str, list[dict[str, Any]]] = {}
    async with connection.cursor(row_factory=dict_row) as cursor:
        for name, query in SQL.items():
            await cursor.execute(query)
            rows[name] = await cursor.fetchall()
    functions: dict[str, list[Function]] = {}
    for row in rows["functions"]:
        functions.setdefault(row["name"], []).append(_function(row))
    roles: dict[str, dict[str, str]] = {}
    for row in rows["roles"]:
        roles.setdefault(row["role"], {})[row["name"]] = row["value"]
    return Catalog(
        tables=_tables(rows["tables"], rows["foreign_keys"]),
        functions={name: tuple(found) for name, found in functions.items()},
        types={row["name"]: row["spelling"] for row in rows["types"]} | SPELLINGS,
        roles=roles,
    )


def _tables(tables: list[dict[str, Any]], keys: list[dict[str, Any]]) -> dict[str, Table]:
    foreign = [
        ForeignKey(
            name=row["name"],
            origin=row["origin"],
            target=row["target"],
            columns=tuple(row["columns"]),
            target_columns=tuple(row["target_columns"]),
            sole=row["sole"],
        )
        for row in keys
    ]
    found = relations(foreign, {row["name"]: frozenset(row["key"]) for row in tables})
    return {
        row["name"]: Table(
            name=row["name"],
            columns={each["name"]: ColumnInfo(**each) for each in row["columns"]},
            key=tuple(row["key"]),
            computed=row["computed"],
            relations=found.get(row["name"], ()),
            is_view=row["is_view"],
        )
        for row in tables
    }


def _function(row: dict[str, Any]) -> Function:
    inputs = tuple((each["name"], each["type"]) for each in row["inputs"])
    # A variadic argument may be left out, as one with a default may.
    optional = max(int(row["defaults"]), int(row["variadic"]))
    required = frozenset(name for name, _ in inputs[: len(inputs) - optional])
    kept = ("name", "variadic", "outputs", "returns_set", "returns_row", "returns_void", "returns_table")
    same = {key: row[key] for key in (*kept, "read_only", "timeout")}
    return Function(inputs=inputs, required=required, **same)
