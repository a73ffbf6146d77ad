"""The agent under another clock: `python -m tests.support.odd_clock run …`, in place of `python -m agent run …`.

Two oddities, by environment. `ODD_CLOCK_OFFSET`: a file with the seconds by which the wall clock is off, read again at
each look, as somebody sets it while the agent runs. `ODD_CLOCK_START` and `ODD_CLOCK_RATE`: the schedule alone lives
from that instant on, so many times as fast; sessions, time limits and beats keep the real time of the server.
"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.adapters.clock import SystemClock
from agent.app import agent as wiring


class SetClock(SystemClock):
    """Wall time is off by what the file says; the monotonic clock knows nothing of it."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=float(Path(os.environ["ODD_CLOCK_OFFSET"]).read_text() or 0))


class FastClock(SystemClock):
    """All clocks run at the same higher rate, from the first look on: nothing looks like sleep."""

    def __init__(self, start: datetime, rate: float) -> None:
        self._start = start
        self._rate = rate
        self._zero: float | None = None

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        if self._zero is None:
            self._zero = time.monotonic()
        return (time.monotonic() - self._zero) * self._rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0) / self._rate)


def main() -> None:
    """Replace the clock where the agent is wired, then be the agent."""
    if "ODD_CLOCK_OFFSET" in os.environ:
        wiring.SystemClock = SetClock  # type: ignore[misc]
    if "ODD_CLOCK_START" in os.environ:
        start = datetime.fromisoformat(os.environ["ODD_CLOCK_START"]).astimezone(UTC)
        fast = FastClock(start, float(os.environ["ODD_CLOCK_RATE"]))
        scheduler = wiring.Scheduler

        def hurried(**parts: Any) -> wiring.Scheduler:
            return scheduler(**(parts | {"clock": fast}))

        wiring.Scheduler = hurried  # type: ignore[assignment,misc]
    from agent.cli.main import main as be_the_agent  # noqa: PLC0415 - after the clock is another one

    be_the_agent()


if __name__ == "__main__":
    main()
