"""The schedule: how late jobs of the same second begin, and what many jobs cost in time, memory and processor.

Ours commits every decision to disk before it hands a run over; APScheduler does so with its store in SQLite; the other
two keep nothing. Each contender is a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import children
from bench.figures import Effort, Figures, ratio, rotate

DUE, QUICK_DUE = 1_000, 10
LEAD_S, LEAD_WITH_SQLITE_S, QUICK_LEAD_S = 5.0, 10.0, 2.0
"""From the start of a program to the second in which everything is due: jobs have to be taken in before."""
SIZES, QUICK_SIZES = (100, 1_000, 10_000), (10,)
LARGE = 10_000
"""So many APScheduler writes to its store one by one, for minutes: left out."""
IDLE_OF = 1_000
IDLE_S, QUICK_IDLE_S = 12.0, 0.2
"""How long it is looked at rest, with so many jobs: longer than the longest sleep of our scheduler, 10 s."""

PROGRAMS = {
    "ours": "bench.own_scheduler",
    "apscheduler": "bench.rivals.apscheduler_jobs",
    "apscheduler_sqlite": "bench.rivals.apscheduler_jobs",
    "heap": "bench.rivals.heap",
}


async def measure(effort: Effort) -> dict[str, Any]:
    """`{ours, apscheduler, apscheduler_sqlite, heap: {p50_ms, p99_ms, max_ms}}`, and by number of jobs `scale`."""
    count = effort.choose(DUE, QUICK_DUE)

    async def lateness(name: str) -> Figures:
        usual = LEAD_WITH_SQLITE_S if name.endswith("_sqlite") else LEAD_S
        return await _ask(name, "lateness", count, QUICK_LEAD_S if effort.quick else usual)

    late = await rotate({name: partial(lateness, name) for name in PROGRAMS}, effort)
    return {
        "jobs": count,
        "ours_to_heap": ratio(late["ours"]["p99_ms"], late["heap"]["p99_ms"]),
        "ours_to_apscheduler": ratio(late["ours"]["p99_ms"], late["apscheduler"]["p99_ms"]),
        "ours_to_apscheduler_sqlite": ratio(late["ours"]["p99_ms"], late["apscheduler_sqlite"]["p99_ms"]),
        **late,
        "scale": await _scale(QUICK_SIZES if effort.quick else SIZES),
    }


async def _scale(sizes: Sequence[int]) -> dict[str, dict[str, Figures]]:
    """Once each: memory and a count of seconds at rest do not need turns."""
    measured: dict[str, dict[str, Figures]] = {}
    for size in sizes:
        for name in PROGRAMS:
            if size >= LARGE and name.endswith("_sqlite"):
                continue
            figures = await _ask(name, "scale", size, IDLE_S if size == IDLE_OF else QUICK_IDLE_S)
            print(f"   {size} jobs, {name}: {figures}", flush=True)
            measured.setdefault(name, {})[str(size)] = figures
    return measured


async def _ask(name: str, question: str, count: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory(prefix="cronmirror-bench-") as folder:
        store = [f"sqlite:///{Path(folder) / 'jobs.sqlite3'}"] if name.endswith("_sqlite") else []
        return dict(await children.run(PROGRAMS[name], question, str(count), str(seconds), *store))
