from __future__ import annotations

import asyncio

import pytest

from agent.errors import Forgotten, Refused, Unreachable
from agent.model import Placement, Trigger, Turn
from agent.queue.turns import REST_S, SlotTurns
from agent.report.link import Link
from tests.support.clock import VirtualClock, settle
from tests.support.fake_runs import a_job, a_run

JOB = a_job(placement=Placement.ANY)


class Slots:
    """`SlotCall`: one slot, and who has it."""

    def __init__(self) -> None:
        self.winner: str | None = None
        self.fails: Exception | None = None
        self.asked: list[tuple] = []

    async def claim_slot(self, job_id, scheduled_for, run_id) -> str | None:
        self.asked.append((job_id, scheduled_for, run_id))
        if self.fails:
            raise self.fails
        return self.winner


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def link() -> Link:
    link = Link()
    link.reached()
    link.drained(link.gap)
    return link


async def test_a_slot_is_asked_for_under_the_id_of_its_run(clock, link):
    call = Slots()
    turns, run = SlotTurns(call, link, clock), a_run(JOB, scheduled_for=clock.now(), trigger=Trigger.SCHEDULE)
    assert await turns.ask(run) is Turn.OURS
    call.winner = "other"
    assert await turns.ask(run) is Turn.TAKEN
    assert call.asked == [(JOB.id, clock.now(), run.id)] * 2


async def test_nobody_is_asked_before_the_outbox_is_drained(clock):
    call, link = Slots(), Link()
    turns = SlotTurns(call, link, clock)
    link.reached()
    waiting = asyncio.create_task(turns.wait_open())
    await settle()
    assert (turns.open, waiting.done()) == (False, False)
    assert await turns.ask(a_run(JOB, scheduled_for=clock.now())) is Turn.UNKNOWN
    assert call.asked == []
    link.drained(link.gap)
    await waiting
    assert turns.open


@pytest.mark.parametrize(
    ("error", "gap"), [(Unreachable("down"), True), (Forgotten("sync first"), False), (Refused("no"), False)]
)
async def test_a_call_that_fails_is_asked_again_later(clock, link, error, gap):
    call = Slots()
    call.fails = error
    turns = SlotTurns(call, link, clock)
    assert await turns.ask(a_run(JOB, scheduled_for=clock.now())) is Turn.UNKNOWN
    assert link.accepted is not gap
    assert not turns.open
    link.reached()
    link.drained(link.gap)
    waiting = asyncio.create_task(turns.wait_open())
    await clock.advance(REST_S - 0.1)
    assert not waiting.done()
    await clock.advance(0.1)
    await waiting
