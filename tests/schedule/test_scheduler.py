"""The schedule's loop in virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from agent.model import CatchUp, Overlap, PlannedRun, Reason, Retry, RunStatus, Schedule, ScheduleKind, Trigger
from tests.support.clock import settle
from tests.support.fake_stages import a_job

NOON = datetime(2026, 3, 18, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

# ── on time ─────────────────────────────────────────────────────────────────


async def test_a_due_slot_runs_at_its_instant(world, job):
    await world.start(job("30 12 * * *"))
    await world.advance(minutes=29, seconds=59.9)
    assert world.ran() == []
    await world.advance(seconds=0.1)
    assert world.ran() == ["schedule 12:30"]
    assert world.runner.runs[0].scheduled_for == NOON + timedelta(minutes=30)


async def test_every_slot_is_planned_before_it_is_handed_over_and_is_gone_once_begun(world, job):
    world.runner.waits = True
    await world.start(job("30 12 * * *", retry=Retry(max_attempts=3)))
    await world.advance(minutes=31)
    (run,) = world.runner.runs
    assert list(world.journal.plans) == [run.id]
    assert run.max_attempts == 3
    world.journal.begin(run)
    await world.advance(minutes=5)
    assert world.runner.runs == [run]
    assert world.journal.saved["a"] == NOON + timedelta(minutes=30)


async def test_a_run_that_waits_for_its_turn_is_handed_over_once(world, job):
    world.runner.waits = True
    await world.start(job("30 12 * * *"))
    await world.advance(hours=8)
    assert world.ran() == ["schedule 12:30"]


async def test_a_job_first_seen_owes_nothing_of_the_past(world, job):
    await world.start(job("* * * * *"))
    await world.advance(seconds=50)
    assert world.ran() == []
    assert world.missed() == []
    assert world.journal.saved["a"] == NOON


async def test_many_jobs_in_the_same_second_are_one_commit(world, job):
    await world.start(*(job("5 12 * * *", f"job-{n}") for n in range(200)))
    before = world.journal.commits
    await world.advance(minutes=6)
    assert len(world.runner.runs) == 200
    assert world.journal.commits == before + 1


async def test_schedules_of_every_kind_run_side_by_side(world, job):
    once = Schedule(kind=ScheduleKind.AT, expr="2026-03-18T12:10:00+00:00", timezone="UTC")
    period = Schedule(kind=ScheduleKind.EVERY, expr="240000", timezone="UTC", every_s=240)
    await world.start(
        a_job("task type"), a_job("once", schedule=once), a_job("period", schedule=period), job("*/5 * * * *", "cron")
    )
    await world.advance(minutes=13)
    assert world.ran("once") == ["schedule 12:10"]
    assert world.ran("period") == ["schedule 12:04", "schedule 12:08", "schedule 12:12"]
    assert world.ran("cron") == ["schedule 12:05", "schedule 12:10"]
    assert world.ran("task type") == []


async def test_a_schedule_of_every_second_keeps_up(world, job):
    await world.start(job("* * * * * *"))
    await world.advance(seconds=90)
    assert len(world.runner.runs) == 90
    assert world.missed() == []


async def test_startup_jobs_run_once_per_start_of_the_process(world):
    schedule = Schedule(kind=ScheduleKind.STARTUP, expr="@startup", timezone="UTC")
    await world.start(a_job(schedule=schedule), a_job("off", schedule=schedule, enabled=False))
    await world.advance(hours=5)
    assert world.ran() == ["startup"]
    assert world.ran("off") == []
    world.jobs.reload(a_job(schedule=schedule), a_job("new", schedule=schedule))
    await world.advance(hours=1)
    assert len(world.runner.runs) == 1
    await world.kill()
    await world.start()
    assert world.ran() == ["startup", "startup"]


async def test_a_startup_job_of_a_paused_schedule_is_missed(world):
    world.pause.what = {"schedule"}
    await world.start(a_job(schedule=Schedule(kind=ScheduleKind.STARTUP, expr="@startup", timezone="UTC")))
    await world.advance(minutes=1)
    assert world.ran() == []
    assert [(r.trigger, r.status, r.reason) for r in world.journal.reports] == [
        (Trigger.STARTUP, RunStatus.MISSED, Reason.PAUSED)
    ]


# ── missed ──────────────────────────────────────────────────────────────────


async def test_slots_of_a_stopped_agent_are_missed_and_the_last_one_is_caught_up(world, job):
    await world.start(job())
    await world.kill()
    await world.advance(hours=3, minutes=30)
    await world.start()
    assert world.missed() == ["13:00 agent_down", "14:00 agent_down", "15:00 agent_down"]
    assert world.ran() == ["catch_up 15:00 agent_down"]
    assert {report.trigger for report in world.journal.reports} == {Trigger.SCHEDULE}
    assert all(report.error and "not running" in report.error for report in world.journal.reports)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CatchUp.NONE, []),
        (CatchUp.LAST, ["catch_up 15:00 asleep"]),
        (CatchUp.ALL, ["catch_up 13:00 asleep", "catch_up 14:00 asleep", "catch_up 15:00 asleep"]),
    ],
)
async def test_slots_of_a_sleeping_machine_are_missed_and_caught_up_by_policy(world, job, policy, expected):
    await world.start(job(catch_up=policy))
    world.sleep(hours=3, minutes=30)
    await world.advance(seconds=10)
    assert world.missed() == ["13:00 asleep", "14:00 asleep", "15:00 asleep"]
    assert world.ran() == expected


async def test_nothing_beyond_the_window_is_caught_up(world, job):
    await world.start(
        job(catch_up=CatchUp.ALL, catch_up_window_s=2 * 3600), job("0 13 * * *", "b", catch_up_window_s=60)
    )
    world.sleep(hours=3, minutes=30)
    await world.advance(seconds=10)
    assert world.ran() == ["catch_up 14:00 asleep", "catch_up 15:00 asleep"]
    assert world.missed() == ["13:00 asleep", "14:00 asleep", "15:00 asleep"]
    assert world.missed("b") == ["13:00 asleep"]
    assert world.ran("b") == []


async def test_a_slot_that_is_less_than_a_minute_late_is_on_time(world, job):
    await world.start(job("30 12 * * *"), job("29 12 * * *", "b"))
    world.sleep(minutes=30, seconds=40)
    await world.advance(seconds=10)
    assert world.ran() == ["schedule 12:30"]
    assert world.missed() == []
    assert world.ran("b") == ["catch_up 12:29 asleep"]


async def test_where_the_newest_slot_is_on_time_the_last_missed_one_is_not_caught_up_besides(world, job):
    await world.start(job("* * * * *"), job("* * * * *", "all", catch_up=CatchUp.ALL))
    world.sleep(minutes=3)
    await world.advance(seconds=10)
    assert world.missed() == ["12:01 asleep", "12:02 asleep"]
    assert world.ran() == ["schedule 12:03"]
    assert world.ran("all") == ["schedule 12:03", "catch_up 12:01 asleep", "catch_up 12:02 asleep"]


async def test_catch_ups_go_by_their_instant_where_they_make_nobody_skip(world, job):
    await world.start(job("* * * * *", catch_up=CatchUp.ALL, overlap=Overlap.QUEUE))
    world.sleep(minutes=3)
    await world.advance(seconds=10)
    assert world.ran() == ["catch_up 12:01 asleep", "catch_up 12:02 asleep", "schedule 12:03"]


async def test_a_loop_that_came_too_late_is_busy(world, job):
    await world.start(job("*/4 * * * * *"))
    world.sleep(seconds=9)  # less than a jump
    await world.advance(seconds=6)
    assert [report.reason for report in world.journal.reports] == ["busy", "busy"]
    assert len(world.runner.runs) == 1


async def test_the_newest_thousand_slots_are_looked_at(world, job):
    await world.start(job("* * * * *", catch_up=CatchUp.ALL, catch_up_window_s=7 * 86_400))
    await world.kill()
    world.sleep(days=3)
    await world.start()
    assert len(world.journal.reports) == 999
    assert len(world.runner.runs) == 1000
    assert world.journal.saved["a"] == NOON + timedelta(days=3)


# ── clocks ──────────────────────────────────────────────────────────────────


async def test_a_clock_set_back_runs_no_slot_twice(world, job):
    await world.start(job("*/10 * * * *"))
    await world.advance(minutes=25)
    world.clock.step_wall(-HOUR)
    await world.advance(minutes=64)
    assert world.ran() == ["schedule 12:10", "schedule 12:20"]
    await world.advance(minutes=1)
    assert world.ran()[2:] == ["schedule 12:30"]
    assert world.missed() == []


async def test_nor_does_it_after_a_restart(world, job):
    await world.start(job("*/10 * * * *"))
    await world.advance(minutes=25)
    await world.kill()
    world.clock.step_wall(-HOUR)
    await world.start()
    await world.advance(minutes=65)
    assert world.ran() == ["schedule 12:10", "schedule 12:20", "schedule 12:30"]


async def test_a_clock_set_forward_is_like_sleep_and_setting_it_right_again_repeats_nothing(world, job):
    await world.start(job("0 * * * *"))
    world.clock.step_wall(2 * HOUR)
    await world.advance(minutes=1)
    assert world.missed() == ["13:00 asleep"]
    assert world.ran() == ["schedule 14:00"]
    world.clock.step_wall(-2 * HOUR)
    await world.advance(hours=2, minutes=58)
    assert world.ran() == ["schedule 14:00"]
    await world.advance(minutes=1)
    assert world.ran() == ["schedule 14:00", "schedule 15:00"]


# ── pause ───────────────────────────────────────────────────────────────────


async def test_slots_of_a_paused_schedule_are_missed_and_the_last_is_caught_up_when_it_goes_on(world, job):
    world.pause.what = {"schedule"}
    await world.start(job())
    await world.advance(hours=2, minutes=1)
    assert world.missed() == ["13:00 paused", "14:00 paused"]
    assert world.ran() == []
    assert [run.scheduled_for for run in world.journal.plans.values()] == [NOON + 2 * HOUR]
    world.pause.what = set()
    world.scheduler.kick()
    await settle()
    assert world.ran() == ["catch_up 14:00 paused"]
    await world.advance(hours=1)
    assert world.ran()[1:] == ["schedule 15:00"]


async def test_all_of_them_if_the_job_wants_that_and_none_if_it_does_not(world, job):
    world.pause.what = {"schedule"}
    await world.start(job(catch_up=CatchUp.ALL), job(job_id="none", catch_up=CatchUp.NONE))
    await world.advance(hours=2, minutes=1)
    world.pause.what = set()
    await world.advance(seconds=10)
    assert world.ran() == ["catch_up 13:00 paused", "catch_up 14:00 paused"]
    assert world.ran("none") == []
    assert len(world.missed("none")) == 2


async def test_a_pause_survives_restarts(world, job):
    world.pause.what = {"schedule"}
    await world.start(job())
    await world.advance(hours=1, minutes=30)
    await world.kill()
    await world.advance(hours=2)
    await world.start()
    assert world.missed() == ["13:00 paused", "14:00 agent_down", "15:00 agent_down"]
    world.pause.what = set()
    await world.advance(seconds=10)
    assert world.ran() == ["catch_up 15:00 agent_down"]


async def test_what_a_pause_outlasts_is_not_caught_up(world, job):
    world.pause.what = {"schedule"}
    await world.start(job("0 13 * * *", catch_up_window_s=3600))
    await world.advance(hours=1, minutes=30)
    assert len(world.journal.plans) == 1
    await world.advance(hours=1)
    assert world.journal.plans == {}
    world.pause.what = set()
    await world.advance(minutes=1)
    assert world.ran() == []


async def test_a_pause_of_claims_alone_leaves_the_schedule_alone(world, job):
    world.pause.what = {"claims"}
    await world.start(job())
    await world.advance(hours=1)
    assert world.ran() == ["schedule 13:00"]


# ── reload ──────────────────────────────────────────────────────────────────


async def test_another_schedule_counts_from_the_moment_of_the_edit(world, job):
    await world.start(job("0 3 * * *"))
    await world.advance(minutes=30)
    world.jobs.reload(job("0,45 * * * *"))
    await settle()
    assert world.journal.saved["a"] == NOON + timedelta(minutes=30)
    await world.advance(minutes=15)
    assert world.ran() == ["schedule 12:45"]
    assert world.missed() == []


async def test_a_reload_that_changes_something_else_shifts_nothing(world, job):
    await world.start(job("*/10 * * * *"))
    await world.advance(minutes=9, seconds=59)
    world.jobs.reload(job("*/10 * * * *", timeout_s=5.0), job("0 3 * * *", "b"))
    await world.advance(seconds=1)
    assert world.ran() == ["schedule 12:10"]
    assert world.runner.runs[0].job.timeout_s == 5.0


async def test_a_disabled_job_passes_its_slots_in_silence_and_owes_nothing_when_enabled(world, job):
    await world.start(job(enabled=False))
    await world.advance(hours=2, minutes=30)
    assert world.ran() == world.missed() == []
    world.jobs.reload(job())
    await world.advance(hours=1)
    assert world.ran() == ["schedule 15:00"]
    assert world.missed() == []


async def test_a_job_disabled_and_enabled_between_two_slots_misses_none(world, job):
    await world.start(job())
    world.jobs.reload(job(enabled=False))
    await world.advance(minutes=30)
    world.jobs.reload(job())
    await world.advance(minutes=30)
    assert world.ran() == ["schedule 13:00"]


async def test_a_job_that_is_gone_has_no_slots_and_starts_afresh_when_it_returns(world, job):
    await world.start(job())
    world.jobs.reload()
    await world.advance(hours=5)
    world.jobs.reload(job())
    await world.advance(hours=1)
    assert world.missed() == []
    assert world.ran() == ["schedule 18:00"]


async def test_a_job_that_loses_its_schedule_is_a_task_type(world, job):
    await world.start(job())
    world.jobs.reload(replace(job(), schedule=None))
    await world.advance(hours=5)
    assert world.ran() == []


# ── retries ─────────────────────────────────────────────────────────────────


def retry(**values) -> PlannedRun:
    given = {"run_id": uuid4(), "job_id": "a", "trigger": Trigger.SCHEDULE, "attempt": 2, "scheduled_for": NOON - HOUR}
    return PlannedRun(**(given | values))


async def plan(world, run) -> None:
    await world.journal.decide(cursors={}, planned=[run])
    world.scheduler.learn(run)


async def test_a_planned_retry_runs_when_it_is_due(world, job):
    await world.start(job("0 3 * * *", retry=Retry(max_attempts=3)))
    run = retry(due_at=NOON + timedelta(seconds=95), cause="asleep")
    await plan(world, run)
    await world.advance(seconds=94)
    assert world.runner.runs == []
    await world.advance(seconds=1)
    (begun,) = world.runner.runs
    assert (begun.id, begun.attempt, begun.max_attempts) == (run.run_id, 2, 3)
    assert (begun.trigger, begun.scheduled_for, begun.cause) == (Trigger.SCHEDULE, NOON - HOUR, "asleep")


async def test_a_retry_of_a_previous_life_runs_when_due_or_at_once_when_overdue(world, job):
    await world.start(job("0 3 * * *"))
    await plan(world, retry(due_at=NOON + HOUR))
    await plan(world, retry(due_at=NOON + 3 * HOUR, attempt=3))
    await world.kill()
    await world.advance(hours=2)
    await world.start()
    assert [run.attempt for run in world.runner.runs] == [2]
    await world.advance(hours=1)
    assert [run.attempt for run in world.runner.runs] == [2, 3]


async def test_a_retry_overdue_beyond_the_window_is_missed(world, job):
    await world.start(job("0 3 * * *", catch_up_window_s=3600))
    await plan(world, retry(due_at=NOON + HOUR))
    await world.kill()
    await world.advance(hours=2, minutes=1)
    await world.start()
    assert world.runner.runs == []
    assert world.journal.plans == {}
    (report,) = world.journal.reports
    assert (report.status, report.reason, report.attempt) == (RunStatus.MISSED, Reason.AGENT_DOWN, 2)


async def test_a_pause_holds_retries_back(world, job):
    await world.start(job("0 3 * * *", catch_up_window_s=3600), job("0 3 * * *", "b"))
    world.pause.what = {"schedule"}
    await plan(world, retry(due_at=NOON + timedelta(minutes=5)))
    await plan(world, retry(due_at=NOON + timedelta(minutes=5), job_id="b"))
    await world.advance(hours=1, minutes=6)
    assert world.runner.runs == []
    assert [(report.job_id, report.reason) for report in world.journal.reports] == [("a", Reason.PAUSED)]
    world.pause.what = set()
    await world.advance(seconds=10)
    assert [run.job.id for run in world.runner.runs] == ["b"]


async def test_a_job_disabled_meanwhile_is_not_tried_again(world, job):
    await world.start(job("0 3 * * *"))
    await plan(world, retry(due_at=NOON + HOUR))
    world.jobs.reload(job("0 3 * * *", enabled=False))
    await world.advance(hours=2)
    assert world.runner.runs == []
    assert [report.reason for report in world.journal.reports] == [Reason.REJECTED]


async def test_what_was_planned_of_a_job_that_is_gone_ends_in_a_row_that_says_so(world, job):
    shortly = {"attempt": 1, "scheduled_for": NOON, "due_at": NOON + timedelta(minutes=5)}
    await world.start(job("0 3 * * *"), job("0 3 * * *", "b"))
    await plan(world, retry(due_at=NOON + HOUR))
    await plan(world, retry(**shortly))
    await plan(world, retry(**shortly | {"trigger": Trigger.CATCH_UP}))
    world.jobs.reload(job("0 3 * * *", "b"))
    await settle()
    assert (world.runner.runs, world.journal.plans) == ([], {})
    again, first = sorted(world.journal.reports, key=lambda report: -report.attempt)
    assert (again.status, again.reason, again.attempt) == (RunStatus.MISSED, Reason.REJECTED, 2)
    assert again.error.startswith("Not tried again: the job was taken out of the YAML")
    assert (first.status, first.reason, first.scheduled_for) == (RunStatus.MISSED, Reason.REJECTED, NOON)
    assert first.error.startswith("Missed: the job was taken out of the YAML")


async def test_a_startup_run_is_tried_again_in_its_own_life_only(world):
    startup = a_job(schedule=Schedule(kind=ScheduleKind.STARTUP, expr="@startup", timezone="UTC"))
    await world.start(startup)
    await plan(world, retry(due_at=NOON + HOUR, trigger=Trigger.STARTUP, scheduled_for=None))
    await world.advance(hours=1)
    assert [run.attempt for run in world.runner.runs] == [1, 2]
    await plan(world, retry(due_at=NOON + 5 * HOUR, trigger=Trigger.STARTUP, scheduled_for=None, attempt=3))
    await world.kill()
    await world.start()
    assert world.journal.plans == {}
    assert [run.attempt for run in world.runner.runs] == [1, 2, 1]
    (given_up,) = world.journal.reports
    assert (given_up.status, given_up.attempt) == (RunStatus.MISSED, 3)
    assert "started afresh" in given_up.error


# ── a journal that fails ────────────────────────────────────────────────────


async def test_while_the_journal_is_full_nothing_runs_and_afterwards_nothing_was_lost(world, job):
    await world.start(job("*/10 * * * *"))
    world.journal.full = True
    await world.advance(minutes=35)
    assert world.ran() == []
    world.journal.full = False
    await world.advance(seconds=10)
    assert world.missed() == ["12:10 busy", "12:20 busy", "12:30 busy"]
    assert world.ran() == ["catch_up 12:30 busy"]


async def test_a_cause_outlasts_a_journal_that_fails(world, job):
    await world.start(job())
    world.journal.full = True
    world.sleep(hours=2, minutes=30)
    await world.advance(minutes=5)
    world.journal.full = False
    await world.advance(seconds=10)
    assert world.missed() == ["13:00 asleep", "14:00 asleep"]


async def test_a_journal_that_fails_at_the_start_is_waited_for(world, job):
    world.journal.full = True
    await world.start(job())
    await world.advance(minutes=30)
    world.journal.full = False
    await world.advance(minutes=31)
    assert world.ran() == ["schedule 13:00"]


async def test_a_job_enabled_while_the_machine_slept_owes_nothing(world, job):
    await world.start(job(enabled=False))
    world.sleep(hours=3, minutes=30)
    world.jobs.reload(job())
    await world.advance(seconds=10)
    assert world.missed() == []
    assert world.ran() == []
