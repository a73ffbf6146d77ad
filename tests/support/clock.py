"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

SETTLE_TURNS = 50
"""Turns of the event loop after each wake-up, at most: tasks whose every await ends in a fake rest long before."""


class VirtualClock:
    """`agent.ports.Clock` in virtual time."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)) -> None:
        self._wall = start
        self._mono = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._mono

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), woken))
        await woken

    def step_wall(self, delta: timedelta) -> None:
        """Set the wall clock alone: sleep of the machine (forward), NTP or a person (either way)."""
        self._wall += delta

    def freeze(self, seconds: float) -> None:
        """Both clocks go on, nobody wakes: the process stands still."""
        self._pass(seconds)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking every sleeper at its instant."""
        end = self._mono + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._pass(max(0.0, due - self._mono))
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._pass(max(0.0, end - self._mono))
        await settle()

    def _pass(self, seconds: float) -> None:
        self._mono += seconds
        self._wall += timedelta(seconds=seconds)


async def settle() -> None:
    """Let every task that can go on go on: until nothing but ourselves is ready."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
        if not ready:
            return
