"""The turn of a shared slot: asked for when a run would begin, and what becomes of it when it does not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.model import Placement, PlannedRun, Retry, Run, RunStatus, Trigger, WhenOffline
from agent.ports import ProcessEnd
from agent.run.cancel import CancelSwitch
from agent.run.executor import Edges, Executor, Fleet
from agent.run.launch import Home
from agent.run.redact import Redactor
from agent.run.slots import Slots
from tests.support.clock import VirtualClock, settle
from tests.support.fake_runs import FakeCalls, FakeJobs, FakeJournal, FakePayloads, a_job, a_request, a_run
from tests.support.fake_stages import FakeTurns

SLOT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Processes:
    """Every process ends at once with this code."""

    exit_code = 0

    async def run(self, spec, sink, cancel) -> ProcessEnd:
        return ProcessEnd(exit_code=self.exit_code)


class Box:
    def __init__(self, folder) -> None:
        self.clock, self.journal, self.turns, self.processes = VirtualClock(), FakeJournal(), FakeTurns(), Processes()
        self.retries: list[PlannedRun] = []
        self.cancel = CancelSwitch()
        self.executor = Executor(
            Edges(
                clock=self.clock,
                processes=self.processes,
                calls=FakeCalls(),
                journal=self.journal,
                payloads=FakePayloads(folder),
            ),
            Redactor(),
            Home(project="home", agent_id="mini", base_env={}, workdir="/", python="python", python_call=""),
            fleet=Fleet(turns=self.turns, retry_planned=self.retries.append),
        )

    def plan(self, run: Run) -> None:
        self.journal.planned[run.id] = PlannedRun(
            run_id=run.id, job_id=run.job.id, trigger=run.trigger, scheduled_for=run.scheduled_for, due_at=SLOT
        )

    def of(self, run: Run) -> list[RunStatus]:
        return [report.status for report in self.journal.of(run)]


@pytest.fixture
def box(tmp_path) -> Box:
    return Box(tmp_path)


def shared(**values) -> Run:
    return a_run(a_job(placement=Placement.ANY, **values), scheduled_for=SLOT)


async def test_a_slot_that_was_won_runs(box):
    run = shared()
    await box.executor.execute(run, box.cancel)
    assert box.turns.asked == [run]
    assert box.of(run) == [RunStatus.RUNNING, RunStatus.OK]


async def test_a_slot_that_another_agent_has_leaves_no_trace(box):
    run = shared()
    box.plan(run)
    box.turns.taken = True
    assert await box.executor.execute(run, box.cancel) is not None
    assert box.journal.reports == []
    assert box.journal.planned == {}


async def test_nor_does_a_journal_that_fails_make_it_run(box):
    run = shared()
    box.plan(run)
    box.turns.taken = box.journal.full = True
    assert await box.executor.execute(run, box.cancel) is not None
    assert box.journal.reports == []


async def test_where_nobody_can_be_asked_it_stays_planned_or_runs_as_its_job_says(box):
    box.turns.shut()
    waits, runs = shared(), shared(when_offline=WhenOffline.RUN)
    for run in (waits, runs):
        box.plan(run)
    assert await box.executor.execute(waits, box.cancel) is None
    await box.executor.execute(runs, box.cancel)
    assert list(box.journal.planned) == [waits.id]
    assert (box.of(waits), box.of(runs)) == ([], [RunStatus.RUNNING, RunStatus.OK])


async def test_only_first_attempts_of_slots_of_shared_jobs_are_asked_for(box):
    job = a_job(placement=Placement.ANY)
    for run in (
        a_run(a_job(), scheduled_for=SLOT),
        a_run(job, scheduled_for=SLOT, attempt=2),
        a_run(job, trigger=Trigger.STARTUP),
        a_run(job, request=a_request(job)),
    ):
        await box.executor.execute(run, box.cancel)
    assert box.turns.asked == []


async def test_what_may_not_begin_is_not_asked_for(box):
    run = shared(enabled=False)
    await box.executor.execute(run, box.cancel)
    assert box.turns.asked == []
    assert box.of(run) == [RunStatus.SKIPPED]


async def test_a_run_that_is_cancelled_while_it_is_asked_for_ends_in_a_row_that_says_so(box):
    run = shared()

    async def ask(asked):
        box.cancel.set("shutdown")
        return await FakeTurns().ask(asked)

    box.turns.ask = ask
    await box.executor.execute(run, box.cancel)
    assert [(report.status, report.reason) for report in box.journal.of(run)] == [(RunStatus.CANCELLED, "shutdown")]


async def test_who_waits_for_retries_is_told_of_one(box):
    box.processes.exit_code = 1
    run = a_run(a_job(retry=Retry(max_attempts=2)), scheduled_for=SLOT)
    await box.executor.execute(run, box.cancel)
    assert [plan.attempt for plan in box.retries] == [2]
    assert list(box.journal.planned) == [box.retries[0].run_id]


async def test_a_run_that_could_not_begin_is_given_back_once_it_is_gone_here(box):
    run = shared()
    box.turns.shut()
    back: list[Run] = []

    def take_back(given: Run) -> None:
        back.append(given)
        assert slots.running() == []

    slots = Slots(execution=box.executor, clock=box.clock, jobs=FakeJobs(run.job), concurrency=1, give_back=take_back)
    slots.submit(run)
    await settle()
    assert back == [run]
    box.turns.reopen()
    slots.submit(run)
    await settle()
    assert box.of(run) == [RunStatus.RUNNING, RunStatus.OK]
