"""The real clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from agent.adapters.clock import SystemClock
from agent.ports import Clock


def test_it_is_a_clock_of_aware_utc_instants():
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_its_monotonic_time_stands_still_while_the_machine_sleeps():
    # CLOCK_MONOTONIC on Linux, mach_absolute_time() on macOS: both stop during sleep; CLOCK_BOOTTIME would not.
    clock = time.get_clock_info("monotonic")
    assert clock.monotonic
    assert not clock.adjustable
    assert clock.implementation in {"clock_gettime(CLOCK_MONOTONIC)", "mach_absolute_time()"}
    assert SystemClock().monotonic() <= time.monotonic()


async def test_it_sleeps_about_as_long_as_asked():
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.05)
    assert 0.045 <= clock.monotonic() - before < 5


async def test_sleeping_for_no_time_lets_others_go_on_once():
    turns: list[str] = []

    async def other():
        turns.append("other")

    task = asyncio.create_task(other())
    await SystemClock().sleep(-1)
    assert turns == ["other"]
    await task
