"""What each scheduler under test is asked, and how it answers: one line of JSON.

`lateness COUNT LEAD_S`: `{"p50_ms", "p99_ms", "max_ms"}` of COUNT jobs due in one second, LEAD_S from now.
`scale COUNT IDLE_S`: seconds to take COUNT jobs in and to be ready, memory that they cost, processor at rest.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable

import psutil

from bench.figures import Figures, percentiles

MIB = 1024 * 1024
LIMIT_S = 60.0


def later(lead_s: float) -> float:
    """A whole second at least `lead_s` from now, in seconds since 1970."""
    return math.ceil(time.time() + lead_s)


class TooSoon(Exception):
    """The jobs were due before all of them were taken in: another instant, please."""


class Lateness:
    """Notes by how much each of `count` jobs that are due at one instant is late."""

    def __init__(self, due: float, count: int) -> None:
        self._due, self._count = due, count
        self._late: list[float] = []
        self._all = asyncio.Event()

    def ready(self) -> None:
        """Every job has been taken in. TooSoon when the instant was over by then."""
        if time.time() >= self._due:
            raise TooSoon

    def note(self) -> None:
        """One of them begins now."""
        self._late.append((time.time() - self._due) * 1000)
        if len(self._late) == self._count:
            self._all.set()

    async def wait(self) -> None:
        """Until all have begun."""
        async with asyncio.timeout(LIMIT_S + self._due - time.time()):
            await self._all.wait()

    def figures(self) -> Figures:
        """RuntimeError when a job came early or twice."""
        if len(self._late) != self._count or min(self._late) < 0:
            raise RuntimeError(
                f"{len(self._late)} of {self._count} jobs began, the first {min(self._late):.1f} ms late"
            )
        return percentiles(self._late, 50, 99) | {"max_ms": round(max(self._late), 3)}


class Scale:
    """Time and memory since it was made, then the processor at rest."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._began, self._rss = time.perf_counter(), self._process.memory_info().rss
        self._figures: Figures = {}

    def loaded(self) -> None:
        """The jobs are known."""
        self._figures["load_s"] = round(time.perf_counter() - self._began, 4)

    async def rest(self, seconds: float) -> None:
        """Everything is ready; look at what `seconds` of doing nothing cost."""
        self._figures["ready_s"] = round(time.perf_counter() - self._began, 4)
        self._figures["memory_mib"] = round((self._process.memory_info().rss - self._rss) / MIB, 2)
        before, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        spent, passed = time.process_time() - before, time.perf_counter() - began
        self._figures["idle_cpu_pct"] = round(spent / passed * 100, 3)

    def figures(self) -> Figures:
        """What was noted."""
        return self._figures


def main(
    lateness: Callable[[int, float], Awaitable[Lateness]], scale: Callable[[int, float], Awaitable[Scale]]
) -> None:
    """Answer what the command line asks."""
    question, count, seconds = sys.argv[1:4]
    print(json.dumps(asyncio.run(_answer(lateness if question == "lateness" else scale, int(count), float(seconds)))))


async def _answer(ask: Callable[[int, float], Awaitable[Lateness | Scale]], count: int, seconds: float) -> Figures:
    while True:
        try:
            return (await ask(count, seconds)).figures()
        except TooSoon:
            seconds *= 2
