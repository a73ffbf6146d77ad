"""The only sleep there is in the tests."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
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
