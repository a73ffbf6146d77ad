"""Pick-up: from the queued row to the started process, by the row's own time and the process's first act.

All five run the same program, `date`, which says when it began. Whoever waits for a wake-up gets one request after the
other, idle in between, as when somebody presses Run; the two that poll get theirs at random instants, for what they
were doing when it came is what counts.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from bench import children
from bench.figures import Effort, Figures, goal, percentiles, ratio, rotate
from bench.ground import Ground, Project, started, until
from bench.meter import Meter
from bench.programs import MARK, marks
from bench.rivals import procrastinate_queue, queue_table

REQUESTS, QUICK_REQUESTS = 80, 5
WARM_UP = 3
"""Requests that come first and do not count."""
PAUSE_S = 0.05
LOOK_S = 0.02
GOAL_TIMES, GOAL_MORE_MS, GOAL_BETTER = 3, 20, 100
JOBS = f"jobs:\n  mark: {{run: ['{MARK[0]}', '{MARK[1]}'], overlap: allow}}\n"

DONE = """
select extract(epoch from requested_at)::float8 as requested, extract(epoch from completed_at)::float8 as completed,
       status, result ->> 'stdout_tail' as said
from cron_run_requests where project_id = %s and status in ('done', 'error') order by requested_at
"""


@dataclass(frozen=True, kw_only=True)
class Polls:
    """What those that poll are asked: so many requests within a window, and how often they look."""

    count: int
    window_s: float
    every_s: float
    sync: str = ""
    """Of our configuration, where it is not the default."""


POLLS = Polls(count=20, window_s=15, every_s=10)
QUICK_POLLS = Polls(count=2, window_s=0.5, every_s=0.5, sync="sync: {poll_every: 1s}\n")


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{ours, ours_polling, poller_10s, procrastinate, floor: {p50_ms, p95_ms}}`, and ratios."""
    count = effort.choose(REQUESTS, QUICK_REQUESTS)
    polls = QUICK_POLLS if effort.quick else POLLS
    rival, floor = await ground.database("pickup_procrastinate"), await ground.database("pickup_queue")
    script = await ground.database("pickup_poller")
    measured = await rotate(
        {
            "ours": lambda: ours(ground, count),
            "procrastinate": lambda: procrastinate(ground, rival, count),
            "floor": lambda: listening(ground, floor, count),
        },
        effort,
    )
    measured |= await rotate(
        {
            "ours_polling": lambda: ours_polling(ground, polls),
            "poller_10s": lambda: poller(ground, script, polls),
        },
        effort,
        at_once=True,
    )
    p50 = {name: figures["p50_ms"] for name, figures in measured.items()}
    limit = GOAL_TIMES * p50["floor"] + GOAL_MORE_MS
    better = ratio(p50["poller_10s"], p50["ours"])
    return {
        "goals": [
            goal(f"ours, p50 (ms): {GOAL_TIMES} × floor + {GOAL_MORE_MS}", p50["ours"], at_most=limit),
            goal("times better than the poller, p50", better, at_least=GOAL_BETTER),
        ],
        "requests": count,
        "requests_polled": polls.count,
        "ours_to_floor": ratio(p50["ours"], p50["floor"]),
        "ours_to_procrastinate": ratio(p50["ours"], p50["procrastinate"]),
        **measured,
    }


async def ours(ground: Ground, count: int) -> Figures:
    """Run is pressed over HTTP, the agent hears of it through Realtime."""
    project = await ground.project()
    agent = await project.agent(JOBS)
    async with started(agent):
        await project.mirrored(agent, 1)
        for done in range(1, WARM_UP + count + 1):
            await project.operator.press_run("mark")
            await until(partial(_ended, project, done), every_s=LOOK_S)
            await asyncio.sleep(PAUSE_S)
    return await _ours(project, WARM_UP)


async def ours_polling(ground: Ground, polls: Polls) -> Figures:
    """No Realtime: the proxy refuses it. `poll_every` is the default, 15 s."""
    project = await ground.project()
    async with Meter(ground.url, realtime=False) as meter:
        agent = await project.agent(polls.sync + JOBS, url=meter.url)
        async with started(agent):
            await project.mirrored(agent, 1, realtime=False)
            for pause in instants(polls.count, polls.window_s):
                await asyncio.sleep(pause)
                await project.operator.press_run("mark")
            await until(partial(_ended, project, polls.count))
    return await _ours(project, 0)


async def procrastinate(ground: Ground, dsn: str, count: int) -> Figures:
    """Its worker listens."""
    output = _output(ground, "procrastinate")
    asked: list[float] = []
    async with procrastinate_queue.emptied(dsn) as app, _rival("procrastinate_worker", dsn, "1", "serve"):
        for done in range(1, WARM_UP + count + 1):
            job = await app.tasks["mark"].defer_async(output=str(output))
            await until(partial(_marked, output, done), every_s=LOOK_S)
            asked.append(await procrastinate_queue.queued_at(app, job))
            await asyncio.sleep(PAUSE_S)
    return _figures(asked[WARM_UP:], marks(output)[WARM_UP:])


async def listening(ground: Ground, dsn: str, count: int) -> Figures:
    """The floor."""
    output = _output(ground, "floor")
    queue_table.create(dsn)
    asked: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        async with _rival("listen_floor", dsn, str(output)):
            for done in range(1, WARM_UP + count + 1):
                asked.append(queue_table.add(connection))
                await until(partial(_marked, output, done), every_s=LOOK_S)
                await asyncio.sleep(PAUSE_S)
    return _figures(asked[WARM_UP:], marks(output)[WARM_UP:])


async def poller(ground: Ground, dsn: str, polls: Polls) -> Figures:
    """Every ten seconds."""
    output = _output(ground, "poller")
    queue_table.create(dsn)
    asked: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        async with _rival("poller", dsn, str(output), str(polls.every_s)):
            for pause in instants(polls.count, polls.window_s):
                await asyncio.sleep(pause)
                asked.append(queue_table.add(connection))
            await until(partial(_marked, output, polls.count))
    return _figures(asked, marks(output))


def instants(count: int, window_s: float) -> list[float]:
    """Pauses between `count` instants, anywhere in the window."""
    times = sorted(random.uniform(0, window_s) for _ in range(count))  # noqa: S311 # spreads load
    return [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]


@asynccontextmanager
async def _rival(name: str, *arguments: str) -> AsyncIterator[None]:
    async with children.child(f"bench.rivals.{name}", *arguments) as process:
        await children.answer(process)
        yield


def _output(ground: Ground, name: str) -> Path:
    """A file of this turn's own."""
    return ground.folder / f"{name}-{datetime.now().timestamp()}"  # noqa: DTZ005 # only to be unique


async def _ended(project: Project, count: int) -> bool:
    return len(await project.ground.sql(DONE, project.id)) >= count


async def _marked(output: Path, count: int) -> bool:
    return len(marks(output)) >= count


async def _ours(project: Project, skip: int) -> Figures:
    rows = (await project.ground.sql(DONE, project.id))[skip:]
    if wrong := [row for row in rows if row["status"] != "done"]:
        raise RuntimeError(f"a request failed: {wrong[0]}")
    written = percentiles([(row["completed"] - row["requested"]) * 1000 for row in rows], 50, 95)
    started_at = _figures([row["requested"] for row in rows], [float(row["said"]) for row in rows])
    return started_at | {f"written_{key}": value for key, value in written.items()}


def _figures(asked: list[float], begun: list[float]) -> Figures:
    return percentiles([(start - ask) * 1000 for ask, start in zip(asked, begun, strict=True)], 50, 95)
