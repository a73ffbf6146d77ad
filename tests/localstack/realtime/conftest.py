"""A real Postgres, a fresh database for each test, and the Realtime server behind a real uvicorn."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import uvicorn

from agent.localstack.gateway import application
from agent.localstack.keys import Keys
from agent.localstack.postgres import Cluster
from agent.localstack.realtime import Limits, Realtime
from tests.localstack.realtime.phoenix import Phoenix, dial
from tests.support.waiting import wait_until

ANN = "a0000000-0000-4000-8000-00000000000a"
BOB = "b0000000-0000-4000-8000-00000000000b"
HOUSE = Path(__file__).with_name("house.sql").read_text()
ROLES = """
create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
-- The launcher's clusters for tests commit asynchronously: a change would wait 200 ms for the log writer.
alter role postgres set synchronous_commit = on
"""
StackWith = Callable[[Limits], contextlib.AbstractAsyncContextManager["Stack"]]
_names = (f"house_{number}" for number in itertools.count())


async def start_cluster(folder: Path) -> Cluster:
    """A cluster with the roles and a database `house` to copy."""
    cluster = Cluster(folder, fsync=False)
    await cluster.start()
    async with await psycopg.AsyncConnection.connect(cluster.dsn(), autocommit=True) as connection:
        await connection.execute(ROLES)
        await connection.execute("create database house")
    async with await psycopg.AsyncConnection.connect(cluster.dsn("house"), autocommit=True) as connection:
        await connection.execute(HOUSE)
    return cluster


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    cluster = await start_cluster(tmp_path_factory.mktemp("realtime") / "pg")
    yield cluster
    await cluster.stop()


@dataclass(kw_only=True)
class Stack:
    """What a test works with."""

    dsn: str
    keys: Keys
    realtime: Realtime
    port: int
    database: psycopg.AsyncConnection[Any]
    open: list[Phoenix] = field(default_factory=list)

    def url(self, key: str | None = None, vsn: str = "1.0.0") -> str:
        apikey = self.keys.anon_key if key is None else key
        return f"ws://127.0.0.1:{self.port}/realtime/v1/websocket?apikey={apikey}&vsn={vsn}"

    def token(self, who: str = ANN, ttl_s: int = 3600, **claims: Any) -> str:
        return self.keys.mint({"role": "authenticated", "sub": who, **claims}, ttl_s)

    async def client(self, vsn: str = "1.0.0", **options: Any) -> Phoenix:
        client = await dial(self.url(vsn=vsn), vsn, **options)
        self.open.append(client)
        return client

    async def sql(self, query: str, *parameters: object) -> None:
        await self.database.execute(query.encode(), parameters or None)


@contextlib.asynccontextmanager
async def served(realtime: Realtime) -> AsyncIterator[int]:
    """The port of a uvicorn that mounts the server."""
    config = uvicorn.Config(
        application(realtime.routes()), host="127.0.0.1", port=0, log_level="warning", lifespan="off"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not `serve()`: its loop looks every 100 ms whether to end.
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def stack_on(dsn: str, limits: Limits | None = None) -> AsyncIterator[Stack]:
    """A running server on this database."""
    keys = Keys.generate()
    realtime = Realtime(dsn=dsn, keys=keys, limits=limits)
    await realtime.start()
    database = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    async with served(realtime) as port:
        stack = Stack(dsn=dsn, keys=keys, realtime=realtime, port=port, database=database)
        try:
            yield stack
        finally:
            for client in stack.open:
                await client.connection.close()
            await realtime.stop()
            await stack.database.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(cluster: Cluster) -> AsyncIterator[Stack]:
    async with stack_on(cluster.dsn("house")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(shared: Stack) -> AsyncIterator[Stack]:
    """The shared stack with empty tables, every earlier change told. For tests that leave the schema alone."""
    marker = await shared.client()
    await marker.subscribe(
        "realtime:marker", {"event": "*", "schema": "public", "table": "memos", "filter": "id=eq.-1"}
    )
    await shared.sql("insert into memos values (-1)")
    await marker.change()
    await shared.sql("truncate tasks, memos, ledger, vault, keyless, grumpy, shapes, unpublished restart identity")
    yield shared
    for client in shared.open:
        await client.connection.close()
    shared.open.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_dsn(cluster: Cluster) -> AsyncIterator[str]:
    name = next(_names)
    async with await psycopg.AsyncConnection.connect(cluster.dsn(), autocommit=True) as connection:
        await connection.execute(f"create database {name}".encode())
        async with await psycopg.AsyncConnection.connect(cluster.dsn(name), autocommit=True) as made:
            await made.execute(HOUSE)
        yield cluster.dsn(name)

        async def released() -> bool:
            found = await connection.execute("select from pg_replication_slots where database = %s", (name,))
            return await found.fetchone() is None

        await wait_until(released)
        await connection.execute(f"drop database {name} with (force)".encode())


@pytest_asyncio.fixture(loop_scope="session")
async def own_stack(fresh_dsn: str) -> AsyncIterator[Stack]:
    """A server and a database of the test's own."""
    async with stack_on(fresh_dsn) as stack:
        yield stack


@pytest.fixture
def stack_with(fresh_dsn: str) -> StackWith:
    """Like `own_stack`, with limits."""
    return lambda limits: stack_on(fresh_dsn, limits)
