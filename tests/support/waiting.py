"""The only sleeps there are in the tests: until a condition holds; or time itself, where a test plays it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


async def wait_until(
    condition: Callable[[], Any | Awaitable[Any]], timeout: float = 18.0, every: float | None = None
) -> Any:
    """Return the first truthy value of `condition` (sync or async); fail after `timeout` seconds.

    Looks are 0.02 s apart, up to 0.1 s when it takes long, for who looks all the time slows down what is waited for; or
    `every` so many seconds, for what does not stay.
    """
    began = time.monotonic()
    value: Any = None
    while (waited := time.monotonic() - began) < timeout:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(min(0.1, max(0.02, waited / 10)) if every is None else every)
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
