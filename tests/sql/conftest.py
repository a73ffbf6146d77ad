"""PostgreSQL 15 (Debian's, where it is installed) and the embedded one: every test of this folder runs on both.

One server per version and session. Tests of the rules share a migrated database and leave it empty; tests that migrate
get a clone of a template. `CRONMIRROR_REQUIRE_PG15=1` (CI) makes a missing 15 an error.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from agent.adapters.postgres import render
from agent.localstack.binaries import Binaries, locate
from agent.localstack.postgres import Cluster
from tests.sql.stage import Stage

HERE = Path(__file__).parent
MIGRATIONS = HERE.parent.parent / "migrations"
PG15 = Path("/usr/lib/postgresql/15/bin")


def _servers() -> list[Binaries]:
    found = [locate()]
    if (PG15 / "postgres").exists():
        found.insert(0, locate(PG15))
    elif os.environ.get("CRONMIRROR_REQUIRE_PG15") == "1":
        raise pytest.UsageError(f"{PG15} is missing: apt-get install postgresql-15")
    return found


SERVERS = _servers()
PG_CRON = PG15.parent / "lib" / "pg_cron.so"
if not PG_CRON.exists() and os.environ.get("CRONMIRROR_REQUIRE_PG15") == "1":
    raise pytest.UsageError(f"{PG_CRON} is missing: apt-get install postgresql-15-cron")
collect_ignore = [] if PG_CRON.exists() else ["test_pg_cron_itself.py"]
EMPTY = "; ".join(
    f"delete from public.{table}"  # noqa: S608  # our own names
    for table in (
        "cron_projects",
        "cron_run_requests",
        "cron_runs",
        "cron_agents",
        "cron_agent_beats",
        "cron_mirror",
        "cron_audit",
        "cron_pruned_slots",
        "cron_connections",
        "cron_connection_requests",
        "cron_notifications",
        "cron_snoozes",
    )
)


def pytest_report_header() -> str:
    return "SQL tests run on PostgreSQL " + " and ".join(f"{each.major} ({each.folder})" for each in SERVERS)


class Server:
    """A running server and its templates."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._numbers = itertools.count()
        self._admin = psycopg.connect(cluster.dsn(), autocommit=True)
        for kind in ("old", "new"):
            self._make_template(kind)

    def _make_template(self, kind: str) -> None:
        name = f"hosted_{kind}"
        self._admin.execute(f"create database {name}")
        with psycopg.connect(self._cluster.dsn(name), autocommit=True) as database:
            database.execute((HERE / "hosted.sql").read_bytes())
            database.execute((HERE / f"{name}.sql").read_bytes())
            database.execute("alter role hosted_owner password 'secret'")
        self._admin.execute(f"create database migrated_{kind} template {name}")
        with psycopg.connect(self._cluster.dsn(f"migrated_{kind}"), autocommit=True) as database:
            database.execute("set session authorization hosted_owner")
            database.execute(render(MIGRATIONS).encode())

    def shared(self, kind: str) -> Iterator[Stage]:
        """The migrated database of this kind, empty."""
        stage = Stage(self._cluster.dsn(f"migrated_{kind}"))
        yield stage
        stage.owner.sql(EMPTY)
        stage.close()

    def clone(self, template: str) -> Iterator[Stage]:
        """A database that is gone after the test."""
        name = f"test_{next(self._numbers)}"
        self._admin.execute(f"create database {name} template {template}")
        stage = Stage(self._cluster.dsn(name))
        yield stage
        stage.close()
        self._admin.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session", params=SERVERS, ids=[f"pg{each.major}" for each in SERVERS])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    folder = tmp_path_factory.mktemp(f"pg{request.param.major}") / "data"
    cluster = Cluster(folder, binaries=request.param, fsync=False)
    try:
        asyncio.run_coroutine_threadsafe(cluster.start(), loop).result(60)
        running = Server(cluster)
        yield running
        running._admin.close()
    finally:
        asyncio.run_coroutine_threadsafe(cluster.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    """A migrated database of a new hosted project."""
    yield from server.shared("new")


@pytest.fixture(params=["old", "new"])
def either_stage(server: Server, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A migrated database, under both kinds of hosted default privileges."""
    yield from server.shared(request.param)


@pytest.fixture(params=["old", "new"])
def either_empty(server: Server, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A hosted database before any migration, under both kinds of default privileges."""
    yield from server.clone(f"hosted_{request.param}")


@pytest.fixture
def empty(server: Server) -> Iterator[Stage]:
    """A hosted database before any migration."""
    yield from server.clone("hosted_new")
