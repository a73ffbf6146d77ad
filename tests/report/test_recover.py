"""What a new life makes of the runs that the previous one left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from agent.adapters.sqlite import Journal
from agent.model import Retry, RunStatus, Trigger
from agent.report.recover import recover
from tests.support.clock import VirtualClock
from tests.support.fake_stages import FakeJobs, a_job
from tests.support.reports import SLOT, a_report

LOST_TOO = Retry(max_attempts=2, on=frozenset({"lost"}), base_s=10)


class Survivors:
    """`Processes.end_survivors`."""

    def __init__(self) -> None:
        self.asked: list = []

    async def end_survivors(self, run_ids):
        self.asked = list(run_ids)
        return run_ids[:1]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.sqlite", VirtualClock())
    yield journal
    await journal.close()


async def recovered(journal: Journal, *jobs) -> tuple[int, list]:
    count = await recover(journal, Survivors(), FakeJobs(*jobs), VirtualClock(), agent_id="mac-mini")
    entries = await journal.pending(99, 1_000_000)
    return count, [entry.report for entry in entries if entry.report.status is RunStatus.LOST]


async def test_nothing_unfinished_is_nothing_to_do(journal: Journal) -> None:
    await journal.record(a_report())
    assert await recovered(journal) == (0, [])


async def test_an_unfinished_request_is_reported_lost_and_its_processes_ended(journal: Journal) -> None:
    start = a_report(status=RunStatus.RUNNING, request_id=uuid4(), claims=2, started_at=SLOT)
    await journal.record(start)
    survivors, job = Survivors(), a_job("a", retry=Retry(max_attempts=3))
    assert await recover(journal, survivors, FakeJobs(job), VirtualClock(), agent_id="mac-mini") == 1
    assert survivors.asked == [start.run_id]
    assert await journal.unfinished() == ()
    _, report = (entry.report for entry in await journal.pending(9, 1_000_000))
    assert (report.status, report.reason, report.claims, report.retry_in_s) == (RunStatus.LOST, "lost", 2, None)
    assert report.result["ok"] is False
    assert report.result["agent_id"] == "mac-mini"
    assert report.result["run_id"] == str(start.run_id)


async def test_a_lost_request_goes_back_only_where_its_job_says_so(journal: Journal) -> None:
    for attempt in (1, 2):
        await journal.record(a_report(status=RunStatus.RUNNING, request_id=uuid4(), claims=1, attempt=attempt))
    _, (first, second) = await recovered(journal, a_job("a", retry=LOST_TOO))
    assert 0 <= first.retry_in_s <= 10
    assert second.retry_in_s is None
    assert await journal.planned() == ()


async def test_a_lost_scheduled_run_is_planned_again_only_where_its_job_says_so(journal: Journal) -> None:
    for job in ("once", "again", "gone"):
        start = a_report(job_id=job, trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, scheduled_for=SLOT)
        await journal.record(start)
    count, reports = await recovered(journal, a_job("once"), a_job("again", retry=LOST_TOO))
    assert count == 3
    assert {report.retry_in_s for report in reports} == {None}
    assert {report.result is None for report in reports} == {True}
    (plan,) = await journal.planned()
    assert (plan.job_id, plan.attempt, plan.scheduled_for, plan.trigger) == ("again", 2, SLOT, Trigger.SCHEDULE)
