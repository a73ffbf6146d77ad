"""Which ends of runs are worth a notice: changes of state alone, once each, nothing of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from agent.model import (
    EndedRun,
    LocalRun,
    NoticeType,
    Placement,
    Reason,
    RunStatus,
    Schedule,
    ScheduleKind,
    Severity,
    Trigger,
)
from agent.notices.jobs import Bench, judge
from tests.support.fake_stages import FakeJobs, a_job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def an_end(job_id: str = "a", status: RunStatus = RunStatus.ERROR, *, final: bool = True, **values) -> EndedRun:
    given = {"started_at": NOW, "finished_at": NOW, "error": "Exit code 1."}
    run = LocalRun(
        run_id=uuid4(), job_id=job_id, trigger=Trigger.SCHEDULE, status=status, attempt=1, **(given | values)
    )
    return EndedRun(seq=1, run=run, final=final)


def ok(job_id: str = "a") -> EndedRun:
    return an_end(job_id, RunStatus.OK, error=None)


def missed(job_id: str = "a", reason: Reason = Reason.ASLEEP, *, final: bool = True) -> EndedRun:
    return an_end(job_id, RunStatus.MISSED, final=final, reason=reason, scheduled_for=NOW, started_at=None)


class Memory:
    """Judges ends one batch after the other, as the desk does."""

    def __init__(self, *jobs, realert_every_s: float | None = None) -> None:
        self.bench = Bench(
            agent_id="mac", agent_name="Mac", jobs=FakeJobs(*(jobs or [a_job()])), realert_every_s=realert_every_s
        )
        self.standings: dict = {}

    def hear(self, *ends: EndedRun, now: datetime = NOW) -> list:
        found = judge(ends, self.standings, self.bench, now)
        self.standings = {k: v for k, v in (self.standings | found.standings).items() if v is not None}
        return found.notices

    def types(self, *ends: EndedRun, now: datetime = NOW) -> list[NoticeType]:
        return [notice.type for notice in self.hear(*ends, now=now)]


def test_a_job_that_begins_to_fail_is_said_once_and_its_recovery_once() -> None:
    memory = Memory()
    assert memory.types(an_end()) == [NoticeType.JOB_FAILED]
    assert memory.types(an_end(), an_end()) == []
    assert memory.types(ok()) == [NoticeType.JOB_RECOVERED]
    assert memory.types(ok()) == []
    assert memory.standings == {}
    assert memory.types(an_end()) == [NoticeType.JOB_FAILED]


def test_all_of_it_in_one_batch_says_the_same() -> None:
    assert Memory().types(an_end(), an_end(), ok(), ok(), an_end()) == [
        NoticeType.JOB_FAILED,
        NoticeType.JOB_RECOVERED,
        NoticeType.JOB_FAILED,
    ]


@pytest.mark.parametrize("status", [RunStatus.TIMEOUT, RunStatus.LOST])
def test_a_timeout_and_a_lost_run_are_failures(status: RunStatus) -> None:
    assert Memory().types(an_end(status=status)) == [NoticeType.JOB_FAILED]


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.SKIPPED])
def test_what_a_person_or_an_overlap_ended_is_neither_good_nor_bad(status: RunStatus) -> None:
    memory = Memory()
    memory.hear(an_end())
    before = memory.standings
    assert memory.types(an_end(status=status)) == []
    assert memory.standings == before


def test_an_attempt_that_is_followed_by_another_is_no_failure_yet() -> None:
    memory = Memory()
    assert memory.types(an_end(final=False)) == []
    assert memory.types(an_end()) == [NoticeType.JOB_FAILED]


def test_failures_within_the_tolerance_are_not_said_nor_is_their_end() -> None:
    memory = Memory(a_job(failure_tolerance=2))
    assert memory.types(an_end(), an_end()) == []
    assert memory.types(ok()) == []
    assert memory.types(an_end(), an_end()) == []
    (notice,) = memory.hear(an_end())
    assert notice.type is NoticeType.JOB_FAILED
    assert "3 runs in a row" in notice.body


def test_what_still_fails_is_said_again_only_where_that_is_wanted_and_not_before() -> None:
    never, hourly = Memory(), Memory(realert_every_s=3600)
    for memory in (never, hourly):
        memory.hear(an_end())
    assert never.types(an_end(), now=NOW + 48 * HOUR) == []
    assert hourly.types(an_end(), now=NOW + 0.9 * HOUR) == []
    assert hourly.types(an_end(), now=NOW + HOUR) == [NoticeType.JOB_FAILED]
    assert hourly.types(an_end(), now=NOW + 1.5 * HOUR) == []


def test_a_slot_that_nothing_makes_good_is_said_once_until_the_job_runs_again() -> None:
    memory = Memory()
    (notice,) = memory.hear(missed(), missed())
    assert notice.type is NoticeType.JOB_MISSED
    assert "the machine was asleep" in notice.body
    assert memory.types(missed()) == []
    assert memory.types(ok()) == []
    assert memory.types(missed()) == [NoticeType.JOB_MISSED]


def test_a_slot_that_a_catch_up_makes_good_is_not_said() -> None:
    assert Memory().types(missed(final=False)) == []


@pytest.mark.parametrize("reason", [Reason.PAUSED, Reason.REJECTED, Reason.NEEDS_REAUTH])
def test_what_somebody_wanted_or_what_is_said_otherwise_is_not_said(reason: Reason) -> None:
    assert Memory().types(missed(reason=reason)) == []


def test_many_jobs_that_slept_together_are_one_notice_of_the_agent() -> None:
    jobs = [a_job(f"j{n}", severity=Severity.CRITICAL if n == 2 else Severity.WARNING) for n in range(12)]
    memory = Memory(*jobs)
    (notice,) = memory.hear(*(missed(job.id) for job in jobs))
    assert notice.subject == "agent:mac"
    assert notice.title == "12 jobs did not run on Mac"
    assert notice.severity is Severity.CRITICAL
    assert "and 2 more" in notice.body


def test_shared_jobs_are_not_put_together_with_the_others() -> None:
    jobs = [a_job(f"j{n}") for n in range(4)] + [a_job(f"s{n}", placement=Placement.ANY) for n in range(2)]
    notices = Memory(*jobs).hear(*(missed(job.id) for job in jobs))
    assert [notice.subject for notice in notices] == ["job:s0", "job:s1", "agent:mac"]
    assert notices[-1].title == "4 jobs did not run on Mac"
    assert [notice.shared is None for notice in notices] == [False, False, True]


def test_of_a_shared_job_each_failure_is_filed_for_the_list_to_decide_and_only_news_is_news_here() -> None:
    memory = Memory(a_job(placement=Placement.ANY, failure_tolerance=1), realert_every_s=3600)
    assert memory.types(an_end()) == []
    filed = [notice for now in (NOW, NOW + 0.5 * HOUR, NOW + HOUR) for notice in memory.hear(an_end(), now=now)]
    assert [notice.type for notice in filed] == [NoticeType.JOB_FAILED] * 3
    assert [notice.shared.still for notice in filed] == [False, True, False]
    assert {notice.shared.realert_every_s for notice in filed} == {3600}
    assert memory.types(ok()) == [NoticeType.JOB_RECOVERED]


def test_of_a_shared_job_slots_missed_again_are_filed_for_the_list_to_decide() -> None:
    memory = Memory(a_job(placement=Placement.ANY))
    filed = [notice for _ in range(2) for notice in memory.hear(missed())]
    assert [notice.type for notice in filed] == [NoticeType.JOB_MISSED] * 2
    assert [notice.shared.still for notice in filed] == [False, True]
    assert filed[0].shared.slots == (NOW,)


def test_a_job_that_left_the_configuration_is_forgotten() -> None:
    memory = Memory()
    memory.hear(an_end())
    memory.bench = Bench(agent_id="mac", agent_name="Mac", jobs=FakeJobs())
    assert memory.types(an_end()) == []
    assert memory.standings == {}


def test_a_notice_says_what_one_asks_next() -> None:
    schedule = Schedule(kind=ScheduleKind.CRON, expr="0 3 * * *", timezone="Europe/Berlin")
    memory = Memory(a_job(severity=Severity.CRITICAL, schedule=schedule))
    end = an_end(output="one\n\ntwo\nthree\nfour\nfive\nsix\n")
    (notice,) = memory.hear(end)
    assert (notice.title, notice.severity, notice.subject) == ("A failed", Severity.CRITICAL, "job:a")
    assert notice.body == (
        f"Exit code 1.\nOn Mac, 2026-03-01 13:00 (Europe/Berlin); run {end.run.run_id}.\n\ntwo\nthree\nfour\nfive\nsix"
    )
    assert notice.dedupe_key == f"job_failed:mac:a:{end.run.run_id}"
    (good,) = memory.hear(ok())
    assert good.body.startswith("After 1 run that failed since 2026-03-01 13:00 (Europe/Berlin).")


def test_the_same_end_judged_twice_is_the_same_notice() -> None:
    end = an_end()
    (one,), (other,) = Memory().hear(end), Memory().hear(end)
    assert (one.id, one.dedupe_key) == (other.id, other.dedupe_key)
