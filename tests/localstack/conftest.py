"""A stack without the product's migrations: its tables are those of `schema.sql`, made for these tests."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions

from agent.localstack.postgres import Cluster
from tests.localstack.clusters import KINDS, OLDER, Make
from tests.support.stack import StackThread

JSON = "application/json"
HERE = Path(__file__).parent
collect_ignore = [] if OLDER else ["test_older_major.py"]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    running = StackThread(tmp_path_factory.mktemp("bare"))
    try:
        running.start()
        running.sql((HERE / "schema.sql").read_text())
        yield running
    finally:
        running.close()


@pytest.fixture
def table(bare: StackThread) -> Iterator[StackThread]:
    """The stack with three rows in `things`: two of ann's, one of bob's."""
    bare.sql("truncate things, notes restart identity")
    bare.sql(
        "insert into things (owner, n, label, tags, facts) values "
        "('ann@example.com', 1, 'one', '{a,b}', '{\"k\": 1}'), ('ann@example.com', 2, 'two, \"quoted\"', null, null), "
        "('bob@example.com', 3, null, '{}', '[]')"
    )
    return bare


class Api:
    """Raw HTTP to the gateway, as a key and (after `sign_in`) as a user."""

    def __init__(self, stack: StackThread) -> None:
        self.stack = stack
        self.key = stack.keys.anon_key
        self.token: str | None = None
        self.http = httpx.AsyncClient(base_url=stack.url, verify=False, timeout=30)  # noqa: S501 # plain HTTP; a TLS context costs 50 ms

    async def sign_in(self, email: str) -> dict[str, Any]:
        answer = await self.call("POST", "/auth/v1/token?grant_type=password", {"email": email, "password": "pw-pw-pw"})
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]
        return answer.json()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        given = {"apikey": self.key, "authorization": f"Bearer {self.token or self.key}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if value}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return await self.http.request(method, path, headers={"content-type": JSON} | given, content=content)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.call("POST", path, body, **headers)

    async def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.call("PATCH", path, body, **headers)


@pytest.fixture
async def api(table: StackThread) -> AsyncIterator[Api]:
    """Signed in as ann."""
    table.create_user("ann@example.com", "pw-pw-pw")
    someone = Api(table)
    await someone.sign_in("ann@example.com")
    yield someone
    await someone.http.aclose()


@pytest.fixture
async def anon(table: StackThread) -> AsyncIterator[Api]:
    """Nobody: the anon key alone."""
    nobody = Api(table)
    yield nobody
    await nobody.http.aclose()


@pytest.fixture
async def service(table: StackThread) -> AsyncIterator[Api]:
    """The service key."""
    trusted = Api(table)
    trusted.key = table.keys.service_key
    yield trusted
    await trusted.http.aclose()


@pytest.fixture
async def client(table: StackThread) -> AsyncIterator[AsyncClient]:
    """The real supabase-py, signed in as ann."""
    table.create_user("ann@example.com", "pw-pw-pw")
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
        found = await acreate_client(table.url, table.keys.publishable_key, options)
        await found.auth.sign_in_with_password({"email": "ann@example.com", "password": "pw-pw-pw"})
        yield found


@pytest.fixture
def new_email() -> str:
    return f"user-{uuid4().hex[:10]}@example.com"


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own are 0700)."""
    with tempfile.TemporaryDirectory(prefix="cm-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a cluster has been created: copied, it saves each test an initdb."""
    folder = tmp_path_factory.mktemp("created")

    async def create() -> None:
        cluster = Cluster(folder / "postgres", fsync=False, only=KINDS[:1])
        await cluster.start()
        await cluster.stop()

    asyncio.run(create())
    return folder


@pytest.fixture
async def make(open_dir: Path, created: Path) -> AsyncIterator[Make]:
    """Clusters in a folder that every user can reach; stopped after the test. `new`: still to be created."""
    made: list[Cluster] = []

    def cluster(name: str = "state", *, new: bool = False, **how: object) -> Cluster:
        if not new and not (open_dir / name).exists():
            shutil.copytree(created, open_dir / name)
        settings = {"fsync": False, "refuge": open_dir / "refuge"} | how
        made.append(Cluster(open_dir / name / "postgres", **settings))  # type: ignore[arg-type]
        return made[-1]

    yield cluster
    for each in made:
        await each.stop()
