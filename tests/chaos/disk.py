"""The disk is full: journal, log, session and configuration of the agent lie on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import psutil

from tests.chaos.scenario import scenario
from tests.chaos.world import World
from tests.support.agent_process import AgentProcess

DISK = "8m"
MOUNT = ("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "cronmirror-chaos")


@scenario("disk-full")
async def disk_full(world: World) -> None:
    """The disk of the agent's journal is full for some seconds, again and again, while jobs run and requests wait."""
    disk = _Disk(world)
    world.ledger.other_reasons = frozenset({"spawn_failed"})  # a start that cannot be committed is none, and is told
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 6)):
        world.press(5)
        await world.lapse(0, 0.5)
        disk.fill(agent)
        world.press(5)
        await world.lapse(1, 4)
        disk.free(agent)
        await world.recovered()
    await world.schedule_goes_on()
    world.found += await before.again(agent)


class _Disk:
    """A small tmpfs where we may mount one; else a limit on the size of the agent's files (`RLIMIT_FSIZE`)."""

    def __init__(self, world: World) -> None:
        home = world.folder / "mac"
        home.mkdir()
        self._filler = home / "filler"
        self._mounted = sys.platform == "linux" and os.geteuid() == 0 and _run(*MOUNT, str(home))
        if self._mounted:
            world.rooms.callback(_run, "umount", "-l", str(home))

    def fill(self, agent: AgentProcess) -> None:
        """Not a byte is left."""
        if not self._mounted:
            limit = min(path.stat().st_size for path in agent.state.glob("cronmirror.sqlite3*"))
            psutil.Process(agent.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))
            return
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self, agent: AgentProcess) -> None:
        """There is room again."""
        if self._mounted:
            self._filler.unlink(missing_ok=True)
        else:
            psutil.Process(agent.pid).rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
