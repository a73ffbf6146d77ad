"""The machine's clock.

`monotonic()` is `time.monotonic()`: CLOCK_MONOTONIC on Linux, which "does not count time that the system is suspended"
(clock_gettime(2)), and mach_absolute_time() on macOS, which "increments monotonically … stopping while the system is
asleep" (Apple, QA1398 and <mach/mach_time.h>). Sleep of the machine therefore shows as wall time running ahead of it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """`agent.ports.Clock` on this machine."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never step and stand still while the machine sleeps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after about `seconds` of the monotonic clock; ≤ 0 yields once."""
        await asyncio.sleep(max(seconds, 0))
