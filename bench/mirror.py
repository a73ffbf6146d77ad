"""What it takes to keep the mirror true: the first sync, one job that changed, and nothing to say.

A real agent behind a proxy that counts. Rows are counted in the database, by the versions that were written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bench.figures import Effort, Figures, goal, spread
from bench.ground import Agent, Ground, Project, private, started, until
from bench.meter import Meter, Traffic

SIZES, QUICK_SIZES = (1_000, 10_000), (20,)
SYNC = "/rest/v1/rpc/cron_sync_mirror"
IDLE_S, QUICK_IDLE_S = 65.0, 0.5
"""A sync comes every 30 to 60 s."""
SETTLE_S = 1.0
HOUR_S = 3_600.0
GOAL_FIRST_S = 3.0
"""For 1,000 jobs."""
GOAL_TOUCHED = 10
FIRST_LIMIT_S = 300.0

VERSIONS = "select job_id, xmin::text as version from cron_mirror where project_id = %s"
AGED = "update cron_mirror set updated_at = now() - interval '10 minutes' where project_id = %s"
NAMED = "select 1 from cron_mirror where project_id = %s and name = 'changed'"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """By number of jobs: `{"first": …, "changed": …, "idle_per_hour": …}`, each with its requests, bytes and rows."""
    sizes = (effort.count,) if effort.count else QUICK_SIZES if effort.quick else SIZES
    firsts: dict[int, list[Figures]] = {size: [] for size in sizes}
    for _ in range(1, effort.rotations):
        for size in sizes:
            async with _mirrored(ground, size) as mirror:
                firsts[size].append(mirror.first())
    measured: dict[int, dict[str, Figures]] = {}
    async with AsyncExitStack() as stack:
        mirrors = {size: await stack.enter_async_context(_mirrored(ground, size)) for size in sizes}
        for size, mirror in mirrors.items():
            first = spread([*firsts[size], mirror.first()])
            measured[size] = {"first": first, "changed": await mirror.changed()}
        idle_s = QUICK_IDLE_S if effort.quick else IDLE_S
        for mirror in mirrors.values():
            await mirror.begin_idle()
        await asyncio.sleep(idle_s)
        for size, mirror in mirrors.items():
            measured[size]["idle_per_hour"] = await mirror.idle(HOUR_S / idle_s)
    smallest = measured[sizes[0]]
    goals = [
        goal(f"first sync of {sizes[0]:,} jobs (s)", smallest["first"]["seconds"], at_most=GOAL_FIRST_S),
        goal(
            "rows written when one job changed", max(each["changed"]["rows"] for each in measured.values()), at_most=1
        ),
        goal(
            "rows touched by a sync when nothing changed",
            max(each["idle_per_hour"]["rows_per_sync"] for each in measured.values()),
            at_most=GOAL_TOUCHED,
        ),
    ]
    return {"goals": goals, "idle_window_s": idle_s, **{f"{size}_jobs": each for size, each in measured.items()}}


@asynccontextmanager
async def _mirrored(ground: Ground, size: int) -> AsyncIterator[_Mirrored]:
    """An agent of a new project, which has just mirrored its `size` jobs."""
    project = await ground.project()
    async with Meter(ground.url) as meter:
        agent = await project.agent(_jobs(size), url=meter.url)
        began = time.monotonic()
        async with started(agent):
            await project.mirrored(agent, size, timeout_s=FIRST_LIMIT_S)
            await asyncio.sleep(SETTLE_S)  # the rows are there before the answer is
            yield _Mirrored(project, agent, meter, began)


class _Mirrored:
    """What is asked of a mirror that is there."""

    def __init__(self, project: Project, agent: Agent, meter: Meter, began: float) -> None:
        self._project, self._agent, self._meter, self._began = project, agent, meter, began
        self._before: set[tuple[str, str]] = set()

    def first(self) -> Figures:
        """From the first request of the first sync to the last byte of its answer; and from the process's start."""
        asked, answered = self._meter.traffic.asked_at[SYNC], self._meter.traffic.answered_at[SYNC]
        return {"seconds": answered - asked, "since_start_s": answered - self._began, **_sent(self._meter.traffic)}

    async def changed(self) -> Figures:
        """Another name for one job, until the row has it: requests and bytes of the sync, rows written."""
        self._before = await self._versions()
        self._meter.reset()
        text = self._agent.config.read_text().replace("job-0: {", "job-0: {name: changed, ")
        fresh = self._agent.config.with_suffix(".new")
        private(fresh, text)
        fresh.replace(self._agent.config)
        await until(self._named)
        await asyncio.sleep(SETTLE_S)
        return {**_sent(self._meter.traffic), "rows": float(await self._written())}

    async def begin_idle(self) -> None:
        """From now on nothing changes. Every row is older than five minutes: the touch has its most to do."""
        await self._project.ground.sql(AGED, self._project.id)
        self._before = await self._versions()
        self._meter.reset()

    async def idle(self, times: float) -> Figures:
        """What has passed since, `times` as much; and the most rows that one sync can have touched."""
        sent, rows = _sent(self._meter.traffic), await self._written()
        per_sync = rows / sent["requests"] if sent["requests"] else 0.0
        hourly = {key: round(value * times, 1) for key, value in {**sent, "rows": float(rows)}.items()}
        return {**hourly, "rows_per_sync": round(per_sync, 1)}

    async def _named(self) -> bool:
        self._agent.check()
        return bool(await self._project.ground.sql(NAMED, self._project.id))

    async def _versions(self) -> set[tuple[str, str]]:
        rows = await self._project.ground.sql(VERSIONS, self._project.id)
        return {(row["job_id"], row["version"]) for row in rows}

    async def _written(self) -> int:
        return len(await self._versions() - self._before)


def _sent(traffic: Traffic) -> Figures:
    return {"requests": float(traffic.requests[SYNC]), "bytes": float(traffic.up[SYNC] + traffic.down[SYNC])}


def _jobs(size: int) -> str:
    return "jobs:\n" + "".join(f'  job-{number}: {{schedule: "0 3 * * *", run: ["true"]}}\n' for number in range(size))
