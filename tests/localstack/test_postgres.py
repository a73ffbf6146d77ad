"""The launcher: a server that starts as any user, stops cleanly, and is never left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import sys
import textwrap
from pathlib import Path

import psutil
import psycopg
import pytest

from agent.errors import StackError
from agent.localstack.binaries import Binaries
from agent.localstack.footing import Kind, identities
from agent.localstack.postgres import Cluster
from tests.localstack.clusters import KINDS, Make, ask, run, socket_dir
from tests.support.processes import alive
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
async def test_it_starts_in_every_way_this_user_has(make: Make, kind: Kind) -> None:
    cluster = make(only=[kind], new=True)
    await cluster.start()
    assert cluster.footing
    assert cluster.footing.identity.kind == kind
    assert await ask(cluster, "select current_setting('wal_level')") == "logical"
    assert await ask(cluster, "select datcollate || datlocale from pg_database limit 1") == "CC.UTF-8"
    assert await ask(cluster, "select upper('é')") == "É"
    owner = identities([kind])[0].files_belong_to[0]
    assert (cluster.footing.folder / "data").stat().st_uid == owner


async def test_what_is_written_is_there_after_a_restart_under_the_same_address(make: Make) -> None:
    cluster = make()
    await cluster.start()
    address = cluster.dsn()
    await run(cluster, "create table kept as select 7 as n")
    await cluster.stop()
    assert cluster.pid is None
    await cluster.start()
    assert cluster.dsn() == address
    assert await ask(cluster, "select n from kept") == 7


async def test_a_stop_leaves_only_the_data(make: Make) -> None:
    cluster = make()
    others = psutil.Process().children(recursive=True)
    await cluster.start()
    pid, sockets = cluster.pid, socket_dir(cluster)
    assert pid
    assert sockets.exists()
    children = set(psutil.Process().children(recursive=True)) - set(others)
    assert len(children) > 2
    await cluster.stop()
    assert not alive(pid)
    assert not sockets.exists()
    assert not [each for each in children if each.is_running()]
    assert await cluster.stop() is None  # again is nothing


async def test_start_twice_is_one_server(make: Make) -> None:
    cluster = make()
    await cluster.start()
    pid = cluster.pid
    await cluster.start()
    assert cluster.pid == pid


async def test_it_listens_on_no_port_and_wants_the_password(make: Make) -> None:
    cluster = make()
    await cluster.start()
    assert cluster.pid
    ports = [each.laddr for each in psutil.Process(cluster.pid).net_connections("inet") if each.status == "LISTEN"]
    assert ports == []
    assert stat.S_IMODE(socket_dir(cluster).stat().st_mode) == 0o700
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await psycopg.AsyncConnection.connect(cluster.dsn().replace(cluster.password, "wrong"))
    assert await ask(cluster, "select rolpassword from pg_authid where rolname = 'postgres'") != cluster.password


async def test_secrets_and_data_are_the_owners_alone(make: Make, open_dir: Path) -> None:
    cluster = make()
    await cluster.start()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (open_dir / "state").iterdir()}
    assert modes["postgres"] == 0o700
    assert modes["postgres.password"] == 0o600
    assert cluster.password not in (open_dir / "state" / "postgres.log").read_text()


async def test_a_second_one_on_the_same_folder_is_refused_and_names_the_first(make: Make) -> None:
    await make().start()
    with pytest.raises(StackError, match=f"already running \\(process {os.getpid()}\\)") as caught:
        await make().start()
    assert caught.value.hint


async def test_two_folders_run_side_by_side(make: Make) -> None:
    first, second = make("one"), make("two")
    await asyncio.gather(first.start(), second.start())
    assert first.pid != second.pid
    assert await ask(first) == await ask(second) == 1


async def test_a_server_that_is_killed_is_started_again(make: Make) -> None:
    cluster = make()
    await cluster.start()
    first, address = cluster.pid, cluster.dsn()
    assert first
    os.kill(first, signal.SIGKILL)
    await wait_until(lambda: cluster.pid not in {None, first}, 15)
    await wait_until(lambda: _answers(cluster), 15)
    assert cluster.dsn() == address


async def test_a_restart_that_fails_is_tried_again(make: Make, open_dir: Path) -> None:
    cluster = make()
    await cluster.start()
    first = cluster.pid
    assert first
    needed = open_dir / "state" / "postgres" / "data" / "global" / "pg_control"
    needed.rename(open_dir / "pg_control")
    os.kill(first, signal.SIGKILL)
    log = open_dir / "state" / "postgres.log"
    await wait_until(lambda: log.read_text().count("pg_control") > 1, 15)
    (open_dir / "pg_control").rename(needed)
    await wait_until(lambda: _answers(cluster), 15)


async def _answers(cluster: Cluster) -> bool:
    try:
        return await ask(cluster) == 1
    except psycopg.OperationalError:
        return False


async def test_a_folder_with_a_long_path_gets_a_short_socket(make: Make) -> None:
    cluster = make("d" * 120)
    await cluster.start()
    assert len(str(socket_dir(cluster) / ".s.PGSQL.5432")) < 100


async def test_a_long_temporary_folder_is_avoided(make: Make, open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = open_dir / ("t" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    cluster = make()
    await cluster.start()
    assert socket_dir(cluster).parent == Path("/tmp")


async def test_the_folder_may_be_named_relatively(make: Make, open_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await make().start()
    monkeypatch.chdir(open_dir)
    shutil.copytree("state", "again", ignore=shutil.ignore_patterns("postmaster.*", "*.lock"))
    cluster = Cluster(Path("again/postgres"), fsync=False)
    await cluster.start()
    assert await ask(cluster) == 1
    await cluster.stop()


async def test_progress_is_told(make: Make) -> None:
    said: list[str] = []
    cluster = make(progress=said.append, new=True)
    await cluster.start()
    await cluster.stop()
    await cluster.start()
    assert said == ["Creating the database cluster", "Starting PostgreSQL", "Starting PostgreSQL"]


# ── what may lie in the folder ────────────────────────────────────────────────


async def test_an_interrupted_initdb_is_made_again(make: Make, open_dir: Path) -> None:
    half = open_dir / "state" / "postgres" / "data.new"
    half.mkdir(parents=True, mode=0o700)
    (half / "PG_VERSION").write_text("18\n")
    cluster = make(new=True)
    await cluster.start()
    assert await ask(cluster) == 1
    assert not half.exists()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 7, "nonsense", ""], ids=["ours", "nobody", "nonsense", "empty"])
async def test_a_stale_pid_file_is_no_hindrance(make: Make, open_dir: Path, pid: object) -> None:
    """After a power cut another process may have the old server's pid."""
    cluster = make()
    await cluster.start()
    await cluster.stop()
    stale = open_dir / "state" / "postgres" / "data" / "postmaster.pid"
    stale.write_text(f"{pid}\n{stale.parent}\n1700000000\n5432\n/tmp/nowhere\n\n0 0\nready   \n")
    await cluster.start()
    assert await ask(cluster) == 1


async def test_a_broken_data_directory_is_reported_with_the_servers_own_words(make: Make, open_dir: Path) -> None:
    cluster = make()
    await cluster.start()
    await cluster.stop()
    (open_dir / "state" / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(StackError, match=r"could not find the database system|pg_control|could not open"):
        await cluster.start()
    assert cluster.pid is None


async def test_a_failing_initdb_is_reported_with_its_own_words(make: Make, open_dir: Path) -> None:
    fake = open_dir / "fake" / "bin"
    fake.mkdir(parents=True)
    for name, body in (
        ("postgres", "echo postgres 18"),
        ("initdb", "[ $1 = --version ] && exit; echo no space left; exit 1"),
    ):
        (fake / name).write_text(f"#!/bin/sh\n{body}\n")
        (fake / name).chmod(0o755)
    cluster = make(binaries=Binaries(folder=fake, major=18, origin="given"), new=True)
    with pytest.raises(StackError, match="no space left"):
        await cluster.start()
    assert not (open_dir / "state" / "postgres" / "password.new").exists()
    await make().start()  # the lock was given back


async def test_a_large_log_is_moved_aside(make: Make, open_dir: Path) -> None:
    cluster = make()
    await cluster.start()
    await cluster.stop()
    log = open_dir / "state" / "postgres.log"
    log.write_text("x" * 1_100_000)
    await cluster.start()
    assert log.stat().st_size < 1_000_000
    assert (open_dir / "state" / "postgres.log.1").stat().st_size == 1_100_000


# ── when we die ───────────────────────────────────────────────────────────────

PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from agent.localstack.postgres import Cluster

async def main():
    cluster = Cluster(Path(sys.argv[1]), fsync=False)
    await cluster.start()
    try:
        print(cluster.pid, cluster._socket_dir, cluster._server._watcher.pid, flush=True)
        here = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(here), sys.stdin)
        await here.read()  # until the test ends us, or is gone itself
    finally:
        await cluster.stop()

asyncio.run(main())
"""


async def start_parent(created: Path, state: Path) -> tuple[asyncio.subprocess.Process, int, Path, int]:
    shutil.copytree(created, state)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(PARENT), str(state / "postgres"), str(ROOT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout
    pid, sockets, watcher = (await parent.stdout.readline()).split()
    return parent, int(pid), Path(sockets.decode()), int(watcher)


def gone(pid: int) -> bool:
    return not alive(pid)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_its_owner(created: Path, open_dir: Path, sign: signal.Signals) -> None:
    parent, pid, sockets, watcher = await start_parent(created, open_dir / "state")
    parent.send_signal(sign)
    await parent.wait()
    # Sooner than the watcher would turn to force.
    await wait_until(lambda: gone(pid) and gone(watcher) and not sockets.exists(), 8)


async def test_the_terminals_ctrl_c_reaches_the_owner_alone(created: Path, open_dir: Path) -> None:
    parent, pid, _, watcher = await start_parent(created, open_dir / "state")
    assert os.getpgid(pid) != os.getpgid(parent.pid)
    assert os.getpgid(watcher) != os.getpgid(parent.pid)
    parent.kill()
    await parent.wait()
    await wait_until(lambda: gone(pid), 15)


async def test_the_next_start_ends_what_even_the_watcher_did_not(make: Make, created: Path, open_dir: Path) -> None:
    parent, pid, sockets, watcher = await start_parent(created, open_dir / "state")
    os.kill(watcher, signal.SIGKILL)
    parent.kill()
    await parent.wait()
    assert not gone(pid)
    cluster = make()
    await cluster.start()
    assert gone(pid)
    assert not sockets.exists()
    assert await ask(cluster) == 1
