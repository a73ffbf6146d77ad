"""A job whose connection needs re-authentication: its slots are missed, and caught up once somebody has signed in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from agent.model import CatchUp, PlannedRun, Reason, RunStatus, Schedule, ScheduleKind, Trigger
from tests.schedule.conftest import NOON, World, cron
from tests.support.clock import settle
from tests.support.fake_stages import a_job


async def signed_in(world: World) -> None:
    world.waiting.clear()
    world.scheduler.kick()
    await settle()


async def test_its_slots_are_missed_with_that_cause_and_the_last_is_caught_up_after_the_sign_in(world, job):
    world.waiting = {"a"}
    await world.start(job(), job(job_id="other"))
    await world.advance(hours=2, minutes=30)
    assert world.missed() == ["13:00 needs_reauth", "14:00 needs_reauth"]
    assert world.ran() == []
    assert world.ran("other") == ["schedule 13:00", "schedule 14:00"]

    await signed_in(world)

    assert world.ran() == ["catch_up 14:00 needs_reauth"]
    await world.advance(minutes=30)
    assert world.ran()[1:] == ["schedule 15:00"]


async def test_each_missed_slot_says_so_and_none_counts_as_an_outage(world, job):
    world.waiting = {"a"}
    await world.start(job())
    await world.advance(hours=1)

    (report,) = [each for each in world.journal.reports if each.status is RunStatus.MISSED]
    assert report.error == "Missed: the connection that the job uses needed re-authentication at this time."
    assert sum(world.counted) == 0


async def test_it_catches_up_by_its_policy(world, job):
    world.waiting = {"a", "b"}
    await world.start(job(catch_up=CatchUp.NONE), job(job_id="b", catch_up=CatchUp.ALL))
    await world.advance(hours=2)

    await signed_in(world)

    assert world.ran() == []
    assert world.ran("b") == ["catch_up 13:00 needs_reauth", "catch_up 14:00 needs_reauth"]


async def test_a_run_that_finds_out_goes_back_and_waits(world, job):
    """The executor could not begin it: the schedule has it again."""
    world.runner.waits = True
    await world.start(job())
    await world.advance(hours=1)
    (run,) = world.runner.runs
    world.waiting = {"a"}
    world.scheduler.take_back(run)
    await settle()

    assert world.missed() == ["13:00 needs_reauth"]
    await signed_in(world)
    assert world.ran() == ["schedule 13:00", "catch_up 13:00 needs_reauth"]


async def test_a_start_is_missed_and_not_caught_up(world):
    startup = Schedule(kind=ScheduleKind.STARTUP, expr="@startup", timezone="UTC")
    world.waiting = {"a"}
    await world.start(a_job(schedule=startup))

    (report,) = world.journal.reports
    assert (report.trigger, report.reason) == (Trigger.STARTUP, Reason.NEEDS_REAUTH)
    await signed_in(world)
    assert world.runner.runs == []


async def test_a_planned_retry_waits_and_is_given_up_when_its_window_is_over(world, job):
    world.waiting = {"a"}
    held = job(catch_up_window_s=3600.0)
    await world.start(replace(held, schedule=cron("0 0 1 1 *")))
    retry = PlannedRun(
        run_id=uuid4(),
        job_id="a",
        trigger=Trigger.SCHEDULE,
        attempt=2,
        scheduled_for=NOON,
        due_at=NOON + timedelta(minutes=1),
    )
    world.journal.plans[retry.run_id] = retry
    world.scheduler.learn(retry)
    await world.advance(minutes=30)
    assert world.runner.runs == []
    assert world.missed() == []

    await world.advance(hours=1)

    assert world.missed() == ["12:00 needs_reauth"]


async def test_what_was_missed_while_the_agent_was_away_has_that_cause(world, job):
    world.waiting = {"a"}
    await world.start(job())
    await world.advance(hours=1)
    await world.kill()
    world.sleep(hours=1, minutes=30)
    await world.start()

    assert world.missed() == ["13:00 needs_reauth", "14:00 agent_down"]
