"""pytest plugin: the embedded stack with the migrations applied, and a fresh project per test.

`stack` lives for the whole session (per xdist worker) in a thread with its own event loop: tests come and go with
their loops, and talk to it over HTTP as anybody would. Switch on with `pytest_plugins = ["tests.support.stack"]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from agent.adapters.postgres import migrate
from agent.localstack.keys import Keys
from agent.localstack.limits import UNLIMITED
from agent.localstack.postgres import Cluster
from agent.localstack.stack import LocalStack, Options
from tests.support.secrecy import Search

MIGRATIONS = Path(__file__).parents[2] / "migrations"
PATIENCE_S = 60.0
TEST_OPTIONS = Options(fsync=False, bcrypt_rounds=4, limits=UNLIMITED)


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, Any], timeout: float = PATIENCE_S) -> Any:
        """Run `work` there and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


class StackThread:
    """A LocalStack that tests use from outside of its loop; every method here is synchronous."""

    def __init__(self, state_dir: Path, *, port: int | None = None, options: Options = TEST_OPTIONS) -> None:
        self.local = LocalStack(state_dir, port=port, options=options)
        self._thread = LoopThread("localstack")
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    @property
    def url(self) -> str:
        return self.local.url

    @property
    def keys(self) -> Keys:
        return self.local.keys

    @property
    def dsn(self) -> str:
        """A superuser's."""
        return self.local.dsn

    def start(self) -> None:
        begin = self.local._gateway.start

        async def remember(*services: Any, **more: Any) -> None:
            self._serve = partial(begin, *services, **more)
            await self._serve()

        self.local._gateway.start = remember  # type: ignore[method-assign]  # what it serves, for `start_gateway`
        self.call(self.local.start())

    def stop(self) -> None:
        if self._connection:
            self._connection.close()
        self.call(self.local.stop())

    def close(self) -> None:
        self.stop()
        self._thread.close()

    def call(self, work: Coroutine[Any, Any, Any], timeout: float = PATIENCE_S) -> Any:
        """Run a coroutine in the stack's own loop."""
        return self._thread.call(work, timeout)

    def migrate(self, directory: Path = MIGRATIONS) -> None:
        self.call(migrate(self.dsn, directory, progress=lambda _: None))

    def create_user(self, email: str, password: str) -> UUID:
        return UUID(str(self.call(self.local.create_user(email, password))))

    def sql(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """Run one statement as superuser in a fresh session, committed at once; `%s` placeholders. Rows as dicts."""
        cursor = self._session().execute(query.encode(), args or None)
        return cursor.fetchall() if cursor.description else []

    def _session(self) -> psycopg.Connection[dict[str, Any]]:
        """One connection for all statements (a new one costs more than the statement), made anew after a restart."""
        with contextlib.suppress(psycopg.OperationalError):
            if self._connection and not self._connection.closed:
                self._connection.execute("discard all")
                return self._connection
        self._connection = psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row, prepare_threshold=None)
        return self._connection

    def stop_database(self) -> None:
        """Postgres alone goes away, as in a restart; the gateway stays."""
        self.call(self._cluster.stop())

    def start_database(self) -> None:
        self.call(self._cluster.start())

    @property
    def database_pid(self) -> int | None:
        """Of the Postgres server; None while it is down."""
        return self._cluster.pid

    def stop_gateway(self) -> None:
        """The gateway alone goes away; Postgres stays."""
        self.call(self.local._gateway.stop())

    def start_gateway(self) -> None:
        """Where it was."""
        self.local._gateway._wanted = self.local._gateway.port
        self.call(self._serve())

    @property
    def _cluster(self) -> Cluster:
        assert isinstance(self.local.database, Cluster)
        return self.local.database


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user who can sign in."""

    email: str
    password: str
    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class Project:
    """A fresh project: nobody else's rows are in it. `outsider` is an operator of another one."""

    project_id: str
    agent_id: str
    """Of `agent`; not yet bound, as after the first sign-in."""
    other_project_id: str
    operator: Person
    viewer: Person
    admin: Person
    agent: Person
    outsider: Person
    stack: StackThread

    @property
    def url(self) -> str:
        return self.stack.url

    @property
    def keys(self) -> Keys:
        return self.stack.keys

    def sql(self, query: str, *args: Any) -> list[dict[str, Any]]:
        """As `StackThread.sql`."""
        return self.stack.sql(query, *args)

    def add_person(self, role: str, *, project_id: str | None = None, agent_id: str | None = None) -> Person:
        """One more member, of this project or another."""
        return _person(self.stack, project_id or self.project_id, role, agent_id=agent_id)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, secrecy: Search) -> Iterator[StackThread]:
    """The embedded stack with the migrations of this repository."""
    running = StackThread(tmp_path_factory.mktemp("stack"))
    try:
        running.start()
        running.migrate()
        yield running
        secrecy.rows_of(running)
    finally:
        running.close()


@pytest.fixture
def project(stack: StackThread) -> Project:
    """A new project with its people."""
    return new_project(stack)


def new_project(stack: StackThread) -> Project:
    """The same outside of pytest."""
    project_id, other = f"project-{uuid4().hex[:12]}", f"other-{uuid4().hex[:12]}"
    stack.sql("insert into cron_projects (project_id) values (%s), (%s)", project_id, other)
    return Project(
        project_id=project_id,
        agent_id=f"agent-{uuid4().hex[:8]}",
        other_project_id=other,
        operator=_person(stack, project_id, "operator"),
        viewer=_person(stack, project_id, "viewer"),
        admin=_person(stack, project_id, "admin"),
        agent=_person(stack, project_id, "agent"),
        outsider=_person(stack, other, "operator"),
        stack=stack,
    )


@pytest.fixture
def sql(stack: StackThread) -> Callable[..., list[dict[str, Any]]]:
    """`sql(query, *args)` as superuser: rows as dicts."""
    return stack.sql


def _person(stack: StackThread, project_id: str, role: str, *, agent_id: str | None = None) -> Person:
    email, password = f"{role}-{uuid4().hex[:10]}@example.com", f"pw-{uuid4().hex}"
    user_id = stack.create_user(email, password)
    stack.sql(
        "insert into cron_project_members (project_id, user_id, role, agent_id) values (%s, %s, %s, %s)",
        *(project_id, user_id, role, agent_id),
    )
    return Person(email=email, password=password, user_id=user_id)
