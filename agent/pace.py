"""Waiting: backoff, whichever comes first, not for ever, until rung. Time is the clock's, so that tests own it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from agent.ports import Clock

T = TypeVar("T")

_LARGEST_EXPONENT = 16


def backoff(failures: int, *, cap_s: float) -> float:
    """Seconds before the next try after so many failures in a row (from 1): 1, 2, 4 … `cap_s`, jittered to 50–100 %."""
    full = min(cap_s, 2.0 ** min(failures - 1, _LARGEST_EXPONENT))
    return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


async def first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of them has ended; the others are cancelled. Raises what an ended one raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns, or None when it took longer and was cancelled."""
    task = asyncio.ensure_future(work)
    await first(asyncio.wait((task,)), clock.sleep(seconds))
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    return task.result()


class Bell:
    """Rung from anywhere, heard once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits, or the next who does."""
        self._rung.set()

    async def heard(self) -> None:
        """Return as soon as it was rung."""
        await self._rung.wait()
        self._rung.clear()
