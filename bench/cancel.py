"""Cancel: from the call of `cron_cancel_request` until no process of the run's group lives, and until it is written.

Each job is a shell with a child, in a group of its own. Those that are told through Realtime come one after the other;
those that wait for a beat are cancelled at random instants of it. `deaf` ignores TERM and is killed after its grace.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import psutil

from bench.figures import Effort, Figures, goal, percentiles
from bench.ground import Ground, Project, started, until
from bench.meter import Meter
from bench.pickup import instants

CANCELS, QUICK_CANCELS = 40, 3
BEATEN, QUICK_BEATEN = 10, 1
DEAF = 5
WINDOW_S, QUICK_WINDOW_S = 15.0, 0.5
GRACE_S = 1
LOOK_S = 0.002
GOALS_MS = {"realtime": 1000.0, "beat": 15_000.0}
JOBS = """\
limits: {{concurrency: 16}}
jobs:
  hang: {{shell: 'echo $$ > {0}/$CRONMIRROR_REQUEST_ID; sleep 600; exit', overlap: allow}}
  deaf: {{shell: 'trap "" TERM; echo $$ > {0}/$CRONMIRROR_REQUEST_ID; sleep 600; exit', overlap: allow, grace: {1}s}}
"""

WRITTEN = """
select extract(epoch from completed_at - cancel_requested_at)::float8 * 1000 as ms, result ->> 'reason' as reason
from cron_run_requests where id = %s and status = 'error'
"""


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{realtime, beat, deaf: {p50_ms, p95_ms, max_ms, written_…}}`, milliseconds, and the goals for the worst."""
    count = effort.choose(CANCELS, QUICK_CANCELS)
    beaten, window_s = (QUICK_BEATEN, QUICK_WINDOW_S) if effort.quick else (BEATEN, WINDOW_S)
    realtime, deaf = await _told(ground, count, QUICK_BEATEN if effort.quick else DEAF)
    beat = await _beaten(ground, beaten, window_s)
    goals = [
        goal("told through Realtime, the worst (ms)", realtime["max_ms"], at_most=GOALS_MS["realtime"]),
        goal("told by the beat, the worst (ms)", beat["max_ms"], at_most=GOALS_MS["beat"]),
    ]
    return {"goals": goals, "cancels": count, "cancels_beat": beaten, "grace_s": GRACE_S} | {
        "realtime": realtime,
        "beat": beat,
        "deaf": deaf,
    }


async def _told(ground: Ground, count: int, deaf: int) -> tuple[Figures, Figures]:
    """Through Realtime, one after the other."""
    project = await ground.project()
    folder = _folder(ground, project)
    agent = await project.agent(JOBS.format(folder, GRACE_S))
    async with started(agent):
        await project.mirrored(agent, 2)
        hanging = [await _cancel(project, folder, await _begin(project, folder, "hang")) for _ in range(count + 1)]
        ignoring = [await _cancel(project, folder, await _begin(project, folder, "deaf")) for _ in range(deaf + 1)]
    return _figures(hanging[1:]), _figures(ignoring[1:])


async def _beaten(ground: Ground, count: int, window_s: float) -> Figures:
    """No Realtime: the proxy refuses it. The next beat tells."""
    project = await ground.project()
    folder = _folder(ground, project)
    async with Meter(ground.url, realtime=False) as meter:
        agent = await project.agent(JOBS.format(folder, GRACE_S), url=meter.url)
        async with started(agent):
            await project.mirrored(agent, 2, realtime=False)
            asked = [str((await project.operator.press_run("hang"))["id"]) for _ in range(count)]
            for request in asked:
                await _begun(folder, request)
            ending = []
            for pause, request in zip(instants(count, window_s), asked, strict=True):
                await asyncio.sleep(pause)
                ending.append(asyncio.create_task(_cancel(project, folder, request)))
            return _figures(await asyncio.gather(*ending))


async def _begin(project: Project, folder: Path, job: str) -> str:
    request = str((await project.operator.press_run(job))["id"])
    await _begun(folder, request)
    return request


async def _begun(folder: Path, request: str) -> None:
    async def said() -> bool:
        file = folder / request
        return file.exists() and bool(file.read_text().strip())

    await until(said)


async def _cancel(project: Project, folder: Path, request: str) -> tuple[float, float]:
    """Milliseconds until the group is gone, and until the request has ended."""
    members = _living(int((folder / request).read_text()))

    async def gone() -> bool:
        return not any(map(_lives, members))

    asked = time.monotonic()
    asking = asyncio.create_task(project.operator.rpc("cron_cancel_request", p_id=request))
    await until(gone, every_s=LOOK_S)
    gone_ms = (time.monotonic() - asked) * 1000
    await asking
    rows: list[dict[str, Any]] = []

    if _living(int((folder / request).read_text())):
        raise RuntimeError("a process of the group has been born meanwhile")

    async def ended() -> bool:
        rows[:] = await project.ground.sql(WRITTEN, request)
        return bool(rows)

    await until(ended)
    if rows[0]["reason"] != "cancelled":
        raise RuntimeError(f"a cancelled request ended otherwise: {rows[0]}")
    return gone_ms, rows[0]["ms"]


def _living(group: int) -> list[psutil.Process]:
    """A zombie is dead: who reaps it, and when, is not ours where it has become init's."""
    return [each for each in psutil.process_iter() if _group(each.pid) == group and _lives(each)]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _folder(ground: Ground, project: Project) -> Path:
    folder = ground.folder / f"groups-{project.id}"
    folder.mkdir()
    return folder


def _figures(ends: list[tuple[float, float]]) -> Figures:
    gone, written = [each[0] for each in ends], [each[1] for each in ends]
    if len(gone) == 1:
        return {"max_ms": round(gone[0], 3)}
    said = percentiles(gone, 50, 95) | {"max_ms": round(max(gone), 3)}
    return said | {f"written_{key}": value for key, value in percentiles(written, 50, 95).items()}
