"""What becomes of slots, one decision at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.model import CatchUp, Reason, Schedule, ScheduleKind, Trigger
from agent.schedule.decisions import Moment, decide_slots
from tests.support.fake_stages import a_job
from tests.support.reports import a_plan

NOW = datetime(2026, 3, 18, 12, 0, 5, tzinfo=UTC)
SLOT = NOW.replace(second=0)
HOUR = timedelta(hours=1)
HOURLY = Schedule(kind=ScheduleKind.CRON, expr="0 * * * *", timezone="UTC")


def at(slot, trigger=Trigger.SCHEDULE):
    return a_plan(trigger=trigger, scheduled_for=slot, due_at=slot)


def test_a_planned_slot_on_time_is_left_as_it_is():
    decision = decide_slots(a_job(schedule=HOURLY), [], [at(SLOT)], Moment(now=NOW, cause=Reason.AGENT_DOWN))
    assert decision.empty


def test_a_slot_that_waits_as_a_catch_up_is_not_decided_again():
    held = at(SLOT, Trigger.CATCH_UP)
    decision = decide_slots(a_job(schedule=HOURLY), [SLOT], [held], Moment(now=NOW, cause=Reason.BUSY))
    assert decision.empty


def test_a_catch_up_that_waits_gives_way_to_a_slot_on_time():
    held = at(SLOT - HOUR, Trigger.CATCH_UP)
    decision = decide_slots(a_job(schedule=HOURLY), [SLOT], [held], Moment(now=NOW, cause=Reason.BUSY))
    assert decision.dropped == [held]
    assert [(run.trigger, run.scheduled_for) for run in decision.planned] == [(Trigger.SCHEDULE, SLOT)]
    assert decision.reports == []


@pytest.mark.parametrize("late_s", [60, 61])
def test_a_minute_is_the_border_between_on_time_and_missed(late_s):
    moment = Moment(now=SLOT + timedelta(seconds=late_s), cause=Reason.BUSY)
    decision = decide_slots(a_job(schedule=HOURLY, catch_up=CatchUp.NONE), [SLOT], [], moment)
    assert [len(decision.planned), len(decision.reports)] == ([1, 0] if late_s == 60 else [0, 1])
