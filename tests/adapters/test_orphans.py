"""Orphans of runs, where they become children of ours (Linux)."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agent.adapters.process import GroupProcesses, group, orphans
from agent.ports import ProcessEnd
from tests.adapters.test_process import Box, _gone
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has child subreapers")

ESCAPES = "import subprocess; p = subprocess.Popen(['sleep', '60'], start_new_session=True{more}); print(p.pid)"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path, pidfd=True)
    box.processes = GroupProcesses(adopt=True)
    yield box
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.fixture
async def scans(box: Box, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Run ids that all processes were searched for, after a first run has met this process' other children."""
    await box.sh("true")
    searched: list[set[str]] = []
    marked = group._marked

    def noted(run_ids, known):
        searched.extend([set(run_ids)] if run_ids else [])
        return marked(run_ids, known)

    monkeypatch.setattr(group, "_marked", noted)
    return searched


def zombies() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if each.status() == psutil.STATUS_ZOMBIE]


async def test_after_an_orderly_run_no_process_is_searched_for(box: Box, scans):
    assert await box.sh("true & wait; exit 3") == ProcessEnd(exit_code=3)
    assert scans == []


async def test_who_has_left_session_and_parent_is_found_and_leaves_no_zombie(box: Box, scans, monkeypatch):
    monkeypatch.setattr(orphans, "REAP_EVERY_S", 0.05)
    monkeypatch.setattr(orphans, "ABANDONED_S", 0.1)
    assert (await box.python(ESCAPES.format(more=""))).exit_code == 0
    assert _gone(int(box.out))
    assert scans
    await wait_until(lambda: not zombies())


async def test_a_run_is_not_searched_for_because_another_has_left_something(box: Box, scans):
    """That other one still runs: its own end sees to it."""
    busy = str(uuid4())
    script = "import os, signal\nif os.fork(): signal.pause()\nos.setsid()\nif os.fork(): os._exit(0)\n"
    script += "open('pid', 'w').write(str(os.getpid()))\nsignal.pause()"
    other = asyncio.create_task(box.python(script, env={"CRONMIRROR_RUN_ID": busy}))
    left = await box.pid()
    await box.sh("true")
    assert scans == []
    assert not _gone(left)
    box.flag.set()
    await other
    assert scans[0] == {busy}
    assert _gone(left)


async def test_a_stranger_that_tells_nothing_is_searched_around_once(box: Box, scans):
    await box.python(ESCAPES.format(more=", env={}"))
    await box.sh("true")
    assert scans == [{box.run_id}]
    stranger = psutil.Process(int(box.out))
    stranger.kill()
    await wait_until(lambda: stranger.status() == psutil.STATUS_ZOMBIE)


async def test_what_one_look_missed_is_found_by_the_next(box: Box, monkeypatch):
    """The kernel's list of children may leave one out while another ends."""
    escaped = orphans.Orphans.escaped
    monkeypatch.setattr(orphans.Orphans, "escaped", lambda _self, _pid: set())
    await box.python(ESCAPES.format(more=""))
    monkeypatch.setattr(orphans.Orphans, "escaped", escaped)
    box.run_id = str(uuid4())
    await box.sh("true")
    assert _gone(int(box.out))


async def test_a_child_that_somebody_else_waits_for_is_left_to_him(box: Box, monkeypatch):
    monkeypatch.setattr(orphans, "REAP_EVERY_S", 0.02)
    theirs = subprocess.Popen(["sh", "-c", "exit 7"])  # noqa: ASYNC220 - such a child is what it is about
    await wait_until(lambda: theirs.pid in {each.pid for each in zombies()})
    await box.sh("sleep 0.2")
    assert theirs.wait() == 7


async def test_a_long_job_that_leaves_an_orphan_again_and_again_leaves_no_zombie(box: Box, monkeypatch):
    monkeypatch.setattr(orphans, "REAP_EVERY_S", 0.02)
    run = asyncio.create_task(box.sh("for i in 1 2 3 4 5; do (true &); done; echo 5 > pid; sleep 60"))
    assert await box.pid() == 5
    await wait_until(lambda: not zombies())
    box.flag.set()
    await run


async def test_elsewhere_orphans_are_not_ours(monkeypatch):
    monkeypatch.setattr(orphans, "_CHILDREN", Path("/nowhere"))
    assert not orphans.adopt_orphans()
