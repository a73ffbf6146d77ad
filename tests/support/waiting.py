"""The only sleeps there are in the tests: until a condition holds; or time itself, where a test plays it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


async def wait_until(condition: Callable[[], Any | Awaitable[Any]], timeout: float = 18.0, every: float = 0.02) -> Any:
    """Return the first truthy value of `condition` (sync or async); fail after `timeout` seconds."""
    end = time.monotonic() + timeout
    value: Any = None
    while time.monotonic() < end:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(every)
    raise AssertionError(f"not within {timeout} s: {condition!r}; last value: {value!r}")


async def lapse(seconds: float) -> None:
    """Let time pass: where the instant of a fault or a press is what a test plays."""
    await asyncio.sleep(seconds)


async def paced(per_s: float, count: int | None = None) -> AsyncIterator[int]:
    """0, 1, 2, … so many a second, late ones at once: where the rate is what a test plays. Endless without `count`."""
    began, number = time.monotonic(), 0
    while count is None or number < count:
        await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
        yield number
        number += 1
