"""The build of the page beside the demo: waited for, told of, ended."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent.cli.demo.page import PageBuild
from tests.support.waiting import wait_until


async def test_nothing_to_build_is_nothing_to_wait_for(tmp_path: Path) -> None:
    async with PageBuild(None, log=tmp_path / "log") as build:
        assert not build.running
        assert await build.ended() is None
    assert not build.was_long
    assert not (tmp_path / "log").exists()


async def test_it_runs_beside_and_its_end_is_told(tmp_path: Path) -> None:
    flag = tmp_path / "go"
    async with PageBuild(f"sh -c 'until [ -e {flag} ]; do sleep 0.01; done'", log=tmp_path / "log") as build:
        assert build.running
        flag.touch()
        assert await build.ended() is None
        assert not build.running


async def test_why_it_failed_is_the_last_thing_it_said(tmp_path: Path) -> None:
    async with PageBuild("sh -c 'echo much; echo no packages >&2; exit 1'", log=tmp_path / "log") as build:
        assert await build.ended() == "no packages"
    assert (tmp_path / "log").read_text() == "much\nno packages\n"


@pytest.mark.parametrize(
    ("command", "why"), [("sh -c 'exit 3'", "ended with 3"), ("/nowhere/build-page", "No such file")]
)
async def test_a_silent_failure_has_a_reason_too(tmp_path: Path, command: str, why: str) -> None:
    async with PageBuild(command, log=tmp_path / "log") as build:
        assert why in str(await build.ended())


@pytest.mark.parametrize("deaf", ["", "trap '' TERM; "])
async def test_it_ends_with_the_demo_and_so_does_what_it_started(
    tmp_path: Path, deaf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.demo.page.STOP_S", 0.2)
    pid_file = tmp_path / "pid"
    async with PageBuild(f"sh -c '{deaf}sleep 300 & echo $! > {pid_file}; wait; wait'", log=tmp_path / "log"):
        pid = int(await wait_until(lambda: pid_file.exists() and pid_file.read_text().strip()))
    await wait_until(lambda: _gone(pid))


async def test_whoever_leaves_before_its_end_does_not_wait_for_it(tmp_path: Path) -> None:
    async with asyncio.timeout(10), PageBuild("sleep 300", log=tmp_path / "log") as build:
        assert build.running
    assert not build.running


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"
