"""Slots of shared jobs (`placement: any`), with Supabase cut off and back, and jitter."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.model import CatchUp, Placement, Reason, RunStatus, Schedule, ScheduleKind, WhenOffline
from agent.schedule.jitter import Spread
from tests.schedule.conftest import NOON
from tests.support.clock import settle
from tests.support.fake_stages import a_job


@pytest.fixture
def shared(job):
    def make(expr="0 * * * *", job_id="a", **values):
        return job(expr, job_id, placement=Placement.ANY, **values)

    return make


def lifted(world) -> list[str]:
    return [f"{report.scheduled_for:%H:%M} {report.reason}" for report in world.journal.released]


# ── offline ─────────────────────────────────────────────────────────────────


async def test_a_hiccup_of_less_than_a_minute_makes_a_slot_late_and_no_more(world, shared):
    await world.start(shared())
    await world.advance(minutes=59, seconds=58)
    world.turns.shut()
    await world.advance(seconds=40)
    assert world.ran() == []
    world.turns.reopen()
    await settle()  # at once, not with the next look at the clock
    assert world.ran() == ["schedule 13:00"]
    assert world.missed() == []


async def test_slots_are_missed_while_nobody_can_be_asked_and_the_last_is_caught_up_afterwards(world, shared, job):
    world.turns.shut()
    await world.start(shared(), shared(job_id="all", catch_up=CatchUp.ALL), job(job_id="mine"))
    await world.advance(hours=2, minutes=30)
    assert world.missed() == world.missed("all") == ["13:00 offline", "14:00 offline"]
    assert world.ran() == world.ran("all") == []
    assert world.ran("mine") == ["schedule 13:00", "schedule 14:00"]
    world.turns.reopen()
    await settle()
    assert world.ran() == ["catch_up 14:00 offline"]
    assert world.ran("all") == ["catch_up 13:00 offline", "catch_up 14:00 offline"]
    assert world.journal.released == []  # nothing of it was ever asked for
    await world.advance(hours=1)
    assert world.ran()[1:] == ["schedule 15:00"]


async def test_sleep_and_a_stopped_agent_are_causes_before_being_offline(world, shared):
    world.turns.shut()
    await world.start(shared())
    world.sleep(hours=1, minutes=10)
    await world.advance(seconds=10)
    assert world.missed() == ["13:00 asleep"]
    await world.kill()
    await world.advance(hours=1)
    await world.start()
    assert world.missed() == ["13:00 asleep", "14:00 agent_down"]


async def test_a_job_that_prefers_running_twice_runs_at_once(world, shared):
    world.turns.shut()
    await world.start(shared(when_offline=WhenOffline.RUN))
    await world.advance(hours=1)
    assert world.ran() == ["schedule 13:00"]


async def test_a_slot_that_could_not_be_asked_for_comes_back_and_goes_out_again_under_its_id(world, shared):
    world.runner.waits = True
    await world.start(shared())
    await world.advance(hours=1)
    (run,) = world.runner.runs
    world.turns.shut()
    world.scheduler.take_back(run)
    await world.advance(seconds=30)
    assert world.runner.runs == [run]
    world.turns.reopen()
    await settle()
    assert [again.id for again in world.runner.runs] == [run.id, run.id]
    assert world.missed() == []


async def test_a_slot_that_may_have_been_won_is_caught_up_under_its_id(world, shared):
    world.runner.waits = True
    await world.start(shared())
    await world.advance(hours=1)
    (run,) = world.runner.runs
    world.turns.shut()
    world.scheduler.take_back(run)
    await world.advance(minutes=2)
    assert world.missed() == ["13:00 offline"]
    world.turns.reopen()
    await settle()
    assert world.ran() == ["schedule 13:00", "catch_up 13:00 offline"]
    assert world.runner.runs[1].id == run.id
    assert world.journal.reports[0].run_id != run.id


async def test_one_that_is_given_up_is_handed_back_under_its_id(world, shared):
    world.runner.waits = True
    await world.start(shared(catch_up=CatchUp.NONE), shared(job_id="last"))
    await world.advance(hours=1)
    world.turns.shut()
    for run in world.runner.runs:
        world.scheduler.take_back(run)
    none, last = (run.id for run in world.runner.runs)
    await world.advance(minutes=2)
    assert [report.run_id for report in world.journal.reports if report.job_id == "a"] == [none]
    assert world.journal.released == []
    await world.advance(hours=1)  # `last` is another one now
    assert lifted(world) == ["13:00 offline"]
    assert [report.run_id for report in world.journal.released] == [last]
    assert world.missed("last") == ["13:00 offline", "14:00 offline"]


@pytest.mark.parametrize("away", [timedelta(seconds=20), timedelta(minutes=20)])
async def test_what_a_crash_left_between_winning_and_beginning_goes_on_under_its_id(world, shared, away):
    world.runner.waits = True
    await world.start(shared())
    await world.advance(hours=1)
    await world.kill()
    await world.advance(seconds=away.total_seconds())
    await world.start()
    before, after = world.runner.runs
    assert before.id == after.id
    assert world.ran()[1] == ("schedule 13:00" if away < timedelta(minutes=1) else "catch_up 13:00 agent_down")


async def test_a_job_disabled_after_a_crash_hands_its_slots_back(world, shared):
    world.runner.waits = True
    await world.start(shared(catch_up=CatchUp.ALL))
    world.sleep(hours=1, minutes=30)
    await world.advance(minutes=30)
    on_time, caught_up = world.runner.runs[1], world.runner.runs[0]
    assert (on_time.scheduled_for, caught_up.scheduled_for) == (NOON + timedelta(hours=2), NOON + timedelta(hours=1))
    await world.kill()
    await world.start(shared(enabled=False))
    assert world.journal.reports[-1].run_id == on_time.id
    assert [report.run_id for report in world.journal.released] == [caught_up.id]
    assert world.journal.plans == {}


async def stopped(world) -> None:
    await world.kill()
    await world.scheduler.hand_back()


async def test_an_agent_that_stops_hands_back_what_it_may_have_won_and_catches_it_up_under_another_id(world, shared):
    world.runner.waits = True
    await world.start(shared(), shared(job_id="none", catch_up=CatchUp.NONE))
    await world.advance(hours=1)
    world.turns.shut()
    for run in world.runner.runs:
        world.scheduler.take_back(run)
    await stopped(world)
    assert world.missed() == world.missed("none") == ["13:00 offline"]
    assert [each.run_id for each in world.journal.reports] == [run.id for run in world.runner.runs]
    world.turns.reopen()
    await world.start()
    assert world.ran() == ["schedule 13:00", "catch_up 13:00 offline"]
    assert world.runner.runs[-1].id != world.runner.runs[0].id
    assert world.ran("none") == ["schedule 13:00"]


async def test_one_that_waits_for_a_place_after_that_is_handed_back_too(world, shared):
    world.runner.waits = True
    await world.start(shared())
    await world.advance(hours=1)
    world.scheduler.take_back(world.runner.runs[0])
    await settle()
    assert world.ran() == ["schedule 13:00"] * 2  # the runner has it again, and will leave it unbegun
    await stopped(world)
    assert [each.run_id for each in world.journal.reports] == [world.runner.runs[0].id]


async def test_a_catch_up_is_handed_back_without_news_for_the_history(world, shared):
    world.runner.waits = True
    await world.start(shared())
    world.sleep(hours=1, minutes=30)
    await world.advance(minutes=1)
    (caught_up,) = world.runner.runs
    world.turns.shut()
    world.scheduler.take_back(caught_up)
    await stopped(world)
    assert lifted(world) == ["13:00 asleep"]
    assert [each.run_id for each in world.journal.released] == [caught_up.id]
    assert world.missed() == ["13:00 asleep"]
    (plan,) = world.journal.plans.values()
    assert plan.run_id != caught_up.id


async def test_what_was_never_asked_for_stays_planned_when_the_agent_stops(world, shared, job):
    world.runner.waits = True
    await world.start(shared(), job(job_id="mine"))
    await world.advance(hours=1)
    await stopped(world)
    assert world.journal.reports == []
    assert set(world.journal.plans) == {run.id for run in world.runner.runs}


async def test_a_journal_that_fails_leaves_it_to_the_next_start(world, shared):
    world.runner.waits = True
    await world.start(shared())
    await world.advance(hours=1)
    (run,) = world.runner.runs
    world.turns.shut()
    world.scheduler.take_back(run)
    world.journal.full = True
    await stopped(world)
    world.journal.full = False
    assert list(world.journal.plans) == [run.id]


async def test_a_catch_up_whose_job_is_gone_hands_its_slot_back(world, shared, job):
    world.runner.waits = True
    await world.start(shared())
    world.sleep(hours=1, minutes=30)
    await world.advance(minutes=1)
    (caught_up,) = world.runner.runs
    await world.kill()
    await world.start(job(job_id="other"))
    assert [each.run_id for each in world.journal.released] == [caught_up.id]
    assert world.journal.plans == {}


async def test_every_is_counted_from_the_epoch_so_that_all_agents_and_lives_agree(world):
    period = Schedule(kind=ScheduleKind.EVERY, expr="420000", timezone="UTC", every_s=420)
    await world.start(a_job(schedule=period, placement=Placement.ANY))
    await world.advance(minutes=20)
    await world.kill()
    await world.advance(minutes=1)
    await world.start()
    await world.advance(minutes=20)
    slots = [run.scheduled_for for run in world.runner.runs]
    assert len(slots) == 6
    assert all(slot.timestamp() % 420 == 0 for slot in slots)


# ── jitter ──────────────────────────────────────────────────────────────────


def test_jitter_is_a_function_of_agent_job_and_slot():
    mine, any_ = a_job(jitter_s=600), a_job(jitter_s=600, placement=Placement.ANY)
    here, there = Spread(project="p", agent_id="one"), Spread(project="p", agent_id="two")
    slots = [NOON + timedelta(hours=n) for n in range(200)]
    delays = [(here.due_at(mine, slot) - slot).total_seconds() for slot in slots]
    assert all(0 <= delay < 600 for delay in delays)
    assert 200 < sum(delays) / len(delays) < 400
    assert delays == [(here.due_at(mine, slot) - slot).total_seconds() for slot in slots]
    assert [there.due_at(mine, slot) for slot in slots] != [here.due_at(mine, slot) for slot in slots]
    assert [there.due_at(any_, slot) for slot in slots] == [here.due_at(any_, slot) for slot in slots]
    assert here.due_at(a_job(), NOON) == NOON


async def test_a_slot_runs_at_its_jittered_instant_and_is_late_only_from_there(world, job):
    jittery = job(jitter_s=3000, catch_up=CatchUp.NONE)
    slot = NOON + timedelta(hours=1)
    due_at = Spread(project="home", agent_id="mini").due_at(jittery, slot)
    await world.start(jittery)
    await world.advance(seconds=(due_at - NOON).total_seconds() - 1)
    assert world.ran() == []
    await world.kill()
    await world.advance(seconds=50)
    await world.start()
    assert world.ran() == ["schedule 13:00"]
    assert world.runner.runs[0].scheduled_for == slot
    assert world.missed() == []


async def test_a_job_disabled_before_its_jittered_instant_does_not_run(world, job):
    await world.start(job(jitter_s=3000))
    await world.advance(hours=1)
    assert len(world.journal.plans) == 1
    world.jobs.reload(job(jitter_s=3000, enabled=False))
    await world.advance(hours=1)
    assert world.ran() == []
    assert [(each.status, each.reason) for each in world.journal.reports] == [(RunStatus.MISSED, Reason.REJECTED)]
