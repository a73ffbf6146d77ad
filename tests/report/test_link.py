"""The order after a gap: beat, outbox, claim."""

from __future__ import annotations

import asyncio

import pytest

from agent.pace import backoff, first, within
from agent.report.link import Link
from tests.support.clock import VirtualClock, settle


async def test_waiters_go_on_when_the_server_is_reached_and_the_outbox_drained() -> None:
    link = Link()
    accepted = asyncio.ensure_future(link.wait_accepted())
    claiming = asyncio.ensure_future(link.wait_claiming())
    await settle()
    assert not accepted.done()
    link.reached()
    await settle()
    assert accepted.done()
    assert not claiming.done()
    link.drained(link.gap)
    await settle()
    assert claiming.done()
    assert link.claiming


async def test_a_drain_of_an_earlier_gap_counts_for_nothing() -> None:
    link = Link()
    link.reached()
    gap = link.gap
    link.drained(gap)
    link.lost()
    link.reached()
    assert not link.claiming
    link.drained(gap)
    assert not link.claiming
    link.drained(link.gap)
    assert link.claiming


async def test_losing_the_link_twice_is_one_gap() -> None:
    link = Link()
    link.reached()
    link.lost()
    link.lost()
    assert link.gap == 2


def test_backoff_doubles_up_to_its_cap_and_is_jittered() -> None:
    assert all(0.5 <= backoff(1, cap_s=60) <= 1 for _ in range(50))
    assert all(4 <= backoff(4, cap_s=60) <= 8 for _ in range(50))
    assert all(30 <= backoff(10_000, cap_s=60) <= 60 for _ in range(50))
    assert len({backoff(4, cap_s=60) for _ in range(50)}) > 40


async def test_the_first_wait_to_end_ends_the_others_and_its_error_is_raised() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await first(wait(), fail())
    assert ended == [True]


async def test_work_within_its_time_returns_and_raises_as_it_does() -> None:
    clock = VirtualClock()

    async def work() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("broken")

    assert await within(clock, 1, work()) == 7
    with pytest.raises(ValueError, match="broken"):
        await within(clock, 1, fail())
