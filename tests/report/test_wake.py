"""Sleep and clock steps are noticed once, in one place."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from agent.report.wake import WakeWatch
from tests.support.clock import VirtualClock, settle


class Watch:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.jumps: list[float] = []
        self.thaws: list[float] = []
        self.watch = WakeWatch(self.clock, self.jumps.append, self.thaws.append)


@pytest.fixture
async def house():
    house = Watch()
    task = asyncio.create_task(house.watch.run())
    await settle()
    yield house
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("seconds", [11, 7200, -11, -7200])
async def test_a_jump_is_told_within_a_second_and_once(house, seconds) -> None:
    house.clock.step_wall(timedelta(seconds=seconds))
    await house.clock.advance(1)
    assert house.jumps == [seconds]
    await house.clock.advance(30)
    assert house.jumps == [seconds]


@pytest.mark.parametrize("seconds", [9, -9])
async def test_a_correction_of_a_few_seconds_is_no_jump_however_often_it_comes(house, seconds) -> None:
    for _ in range(5):
        house.clock.step_wall(timedelta(seconds=seconds))
        await house.clock.advance(1)
    assert house.jumps == []


async def test_whoever_looks_himself_is_told_before_he_goes_on(house) -> None:
    house.clock.step_wall(timedelta(hours=1))
    house.watch.look()
    assert house.jumps == [3600]
    await house.clock.advance(2)
    assert house.jumps == [3600]


async def test_a_process_that_stood_still_is_told_for_how_long(house) -> None:
    """SIGSTOP: both clocks go on, the loop does not."""
    house.clock.freeze(90)
    await house.clock.advance(1)
    assert house.jumps == []
    (late_s,) = house.thaws
    assert late_s == pytest.approx(90, abs=1)
