"""Linux: what a run leaves behind becomes our child: after a run we look at a few children, not at every process.

A "child subreaper" (PR_SET_CHILD_SUBREAPER, prctl(2)) takes the place of init for the orphans among its descendants. It
has init's duty, too: it waits for them, or they stay as zombies.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

RUN_ID = "CRONMIRROR_RUN_ID"
"""Every process of a run inherits this variable: how those are found that left the group."""
REAP_EVERY_S = 5.0
"""While there is anything to wait for: a job may live for days and leave an orphan every second."""
ABANDONED_S = 5.0
"""A zombie that no run of ours knows may be the child of another part of this process, which will wait for it."""

_PR_SET_CHILD_SUBREAPER = 36
_CHILDREN = f"/proc/self/task/{os.getpid()}/children"
"""Orphans go to the first living thread of the subreaper, its main one. Needs CONFIG_PROC_CHILDREN, as distributions
have it. One may be left out while another ends (proc(5)): it is found at the next look, by its run's id."""

_CHUNK = 1 << 16


class _Stat(NamedTuple):
    """Of `/proc/<pid>/stat` (proc(5))."""

    zombie: bool
    session: int
    started: int


def adopt_orphans() -> bool:
    """Become the parent of all orphans among our descendants; False where that cannot be had."""
    if not (sys.platform == "linux" and Path(_CHILDREN).exists()):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class Orphans:
    """Knows the processes that we started for runs, hence those among our children that we did not. One event loop."""

    def __init__(self) -> None:
        self._leaders: dict[int, str] = {}
        self._strangers: dict[int, int] = {}
        """Process id → its start: living children of unknown origin that have been looked at."""
        self._zombies: dict[int, float] = {}
        """Process id → when it was first seen so."""
        self._inherited = os.environ.get(RUN_ID)
        """An agent may run inside of another agent's job."""
        self._reaper: asyncio.TimerHandle | None = None

    def began(self, pid: int, run_id: str) -> None:
        """This child of ours leads a run. Between its start and this call nothing may be awaited."""
        self._leaders[pid] = run_id
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(REAP_EVERY_S, self._reap)

    def ended(self, pid: int) -> None:
        """It has been waited for, and nothing of its run is left."""
        del self._leaders[pid]

    def escaped(self, pid: int) -> set[str]:
        """Ids of runs of which something may be left outside of their groups: of this one, or of ones that are over."""
        found: set[str] = set()
        for child, stat in self._unknown().items():
            if self._strangers.get(child) == stat.started:
                continue
            run_id = _run_id(child)
            if run_id is None or run_id == self._inherited:
                self._strangers[child] = stat.started
                found.add(self._leaders[pid])
            elif run_id == self._leaders[pid] or run_id not in self._leaders.values():
                found.add(run_id)
        return found

    def _reap(self) -> None:
        self._unknown()
        self._reaper = None
        if self._leaders or self._strangers or self._zombies:
            self._reaper = asyncio.get_running_loop().call_later(REAP_EVERY_S, self._reap)

    def _unknown(self) -> dict[int, _Stat]:
        """Living children that we did not start for a run. Waits for those that have ended."""
        children = _children() - self._leaders.keys()
        stats = {pid: stat for pid in children if (stat := _stat(pid)) is not None}
        living = {pid: stat for pid, stat in stats.items() if not stat.zombie}
        now = time.monotonic()
        self._strangers = {pid: start for pid, start in self._strangers.items() if pid in living}
        self._zombies = {pid: self._zombies.get(pid, now) for pid in stats.keys() - living.keys()}
        for pid, since in self._zombies.items():
            if stats[pid].session in self._leaders or now - since >= ABANDONED_S:
                _wait_for(pid)
        return living


def _children() -> set[int]:
    """Asked once a run, hence without a file object: it would cost more than the question."""
    descriptor = os.open(_CHILDREN, os.O_RDONLY)
    try:
        text = b"".join(iter(lambda: os.read(descriptor, _CHUNK), b""))
    finally:
        os.close(descriptor)
    return {int(pid) for pid in text.split()}


def _wait_for(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name before the last `)` may have anything in it.
    fields = text.rpartition(b") ")[2].split()
    return _Stat(zombie=fields[0] == b"Z", session=int(fields[3]), started=int(fields[19]))


def _run_id(pid: int) -> str | None:
    """What its environment says; None where it says nothing, or may not be read."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    head = RUN_ID.encode() + b"="
    return next(
        (each[len(head) :].decode(errors="replace") for each in environ.split(b"\0") if each.startswith(head)), None
    )
