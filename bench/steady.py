"""Whether an agent stays as it is: descriptors and memory over 10,000 runs and 500 reconnections.

Takes a quarter of an hour, so it is measured when it is named or with `--full`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import psutil

from bench.drain import JOBS, QUEUE
from bench.figures import Effort, Figures, goal
from bench.ground import Agent, Ground, Project, started, until
from bench.meter import Meter

RUNS, QUICK_RUNS = 10_000, 40
WARM_UP = 0.1
"""Share of the runs after which the first look is taken: caches are filled, the allocator has its arenas."""
RECONNECTIONS, QUICK_RECONNECTIONS = 500, 2
LIMIT_S = 900.0
GOAL_MIB = 5.0
MIB = 1024 * 1024

DONE = "select count(*) as done from cron_run_requests where project_id = %s and status = 'done'"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{"warm", "after_runs", "after_reconnections": {"descriptors", "rss_mib", "threads"}}`."""
    runs = effort.choose(RUNS, QUICK_RUNS)
    cuts = QUICK_RECONNECTIONS if effort.quick else RECONNECTIONS
    project = await ground.project()
    async with Meter(ground.url) as meter:
        agent = await project.agent(JOBS, url=meter.url)
        agent.module = "bench.eager_agent"
        async with started(agent):
            await project.mirrored(agent, 1)
            first = max(1, round(runs * WARM_UP))
            warm = await _after_runs(project, agent, first, 0)
            worked = await _after_runs(project, agent, runs, first)
            cut = await _after_cuts(agent, meter, cuts)
            end = await _after_runs(project, agent, runs + 1, runs)
    return {
        "goals": [
            goal("descriptors more than when it was warm", end["descriptors"] - warm["descriptors"], at_most=0),
            goal("memory more than when it was warm (MiB)", end["rss_mib"] - warm["rss_mib"], at_most=GOAL_MIB),
        ],
        "runs": runs,
        "reconnections": cuts,
        "warm": warm,
        "after_runs": worked,
        "after_reconnections": cut,
        "at_the_end": end,
    }


async def _after_runs(project: Project, agent: Agent, total: int, before: int) -> Figures:
    """Queue what is missing to `total` runs, wait until all are done, look."""
    await project.ground.sql(QUEUE, project.id, 0, total - before)

    async def done() -> bool:
        agent.check()
        return bool((await project.ground.sql(DONE, project.id))[0]["done"] == total)

    await until(done, timeout_s=LIMIT_S, every_s=0.2)
    return _look(agent)


async def _after_cuts(agent: Agent, meter: Meter, count: int) -> Figures:
    """Cut every connection as soon as Realtime is subscribed again, `count` times."""
    for number in range(count):
        meter.reset()
        await meter.cut()
        await until(partial(_subscribed, agent, meter), timeout_s=LIMIT_S)
        if number % 50 == 0:
            print(f"   {number} reconnections: {_look(agent)}", flush=True)
    return _look(agent)


async def _subscribed(agent: Agent, meter: Meter) -> bool:
    agent.check()
    return meter.traffic.events["system"] > 0


def _look(agent: Agent) -> Figures:
    process = psutil.Process(agent.pid)
    with process.oneshot():
        return {
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "rss_mib": round(process.memory_info().rss / MIB, 1),
        }
