"""What every journal means, tried on the real one and on each fake that stands for it elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from agent.adapters.sqlite import Journal
from agent.errors import StateError
from agent.model import Reason, RunStatus, Trigger, Verdict, VerdictKind
from agent.ports import RunJournal, SlotJournal
from tests.support.clock import VirtualClock
from tests.support.fake_memory import FakeNotes, FakeOutboxStore
from tests.support.fake_runs import FakeJournal
from tests.support.fake_slots import FakeSlots
from tests.support.reports import SLOT, a_plan, a_report

HOUR = timedelta(hours=1)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.sqlite", VirtualClock())
    yield journal
    await journal.close()


# ── RunJournal ──────────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "fake"])
def runs(request: pytest.FixtureRequest) -> RunJournal:
    return request.getfixturevalue("journal") if request.param == "sqlite" else FakeJournal()


async def test_a_run_that_began_is_unfinished_until_its_end_is_recorded(runs) -> None:
    start = a_report(status=RunStatus.RUNNING, started_at=SLOT)
    await runs.record(start)
    assert [run.run_id for run in await runs.unfinished()] == [start.run_id]
    await runs.record(replace(start, status=RunStatus.OK, finished_at=SLOT + HOUR))
    assert not await runs.unfinished()


async def test_a_claim_counts_as_begun_once_its_run_is_recorded(runs) -> None:
    request = uuid4()
    claims = [(request, 1), (request, 2), (uuid4(), 1)]
    assert not await runs.begun(claims)
    await runs.record(a_report(status=RunStatus.RUNNING, request_id=request, claims=1))
    assert set(await runs.begun(claims)) == {(request, 1)}


async def test_a_request_is_unreported_while_its_run_goes_on(runs) -> None:
    request = uuid4()
    await runs.record(a_report(status=RunStatus.RUNNING, request_id=request, claims=1))
    await runs.record(a_report(status=RunStatus.RUNNING))
    assert list(await runs.unreported_requests()) == [request]


# ── SlotJournal ─────────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "fake"])
def slots(request: pytest.FixtureRequest) -> SlotJournal:
    return request.getfixturevalue("journal") if request.param == "sqlite" else FakeSlots()


async def test_a_job_never_seen_has_no_cursor(slots) -> None:
    assert await slots.cursors() == {}


async def test_a_cursor_only_moves_forward(slots) -> None:
    await slots.decide(cursors={"a": SLOT + HOUR})
    await slots.decide(cursors={"a": SLOT})
    assert await slots.cursors() == {"a": SLOT + HOUR}


async def test_planned_runs_come_by_their_instant_until_they_are_dropped(slots) -> None:
    late, soon = a_plan(due_at=SLOT + HOUR, scheduled_for=SLOT + HOUR), a_plan()
    await slots.decide(cursors={}, planned=[late, soon])
    assert list(await slots.planned()) == [soon, late]
    await slots.decide(cursors={}, dropped=[soon.run_id])
    assert list(await slots.planned()) == [late]


async def test_a_slot_is_planned_once_per_attempt(slots) -> None:
    first, again, retry = a_plan(), a_plan(), a_plan(attempt=2)
    await slots.decide(cursors={}, planned=[first])
    await slots.decide(cursors={}, planned=[again, retry])
    assert {run.run_id for run in await slots.planned()} == {first.run_id, retry.run_id}


async def test_a_missed_slot_may_be_planned_as_a_catch_up_in_the_same_decision(slots) -> None:
    missed = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.MISSED, scheduled_for=SLOT, reason="asleep")
    catch_up = a_plan(trigger=Trigger.CATCH_UP, cause=Reason.ASLEEP.value)
    await slots.decide(cursors={"a": SLOT}, planned=[catch_up], reports=[missed])
    assert list(await slots.planned()) == [catch_up]


async def test_a_catch_up_takes_the_place_of_the_planned_run_it_drops(slots) -> None:
    plan, catch_up = a_plan(), a_plan(trigger=Trigger.CATCH_UP)
    await slots.decide(cursors={}, planned=[plan])
    missed = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.MISSED, scheduled_for=SLOT)
    await slots.decide(cursors={}, planned=[catch_up], reports=[missed], dropped=[plan.run_id])
    assert list(await slots.planned()) == [catch_up]


async def test_a_skipped_slot_is_not_planned_afterwards(slots) -> None:
    skipped = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.SKIPPED, scheduled_for=SLOT)
    await slots.decide(cursors={}, reports=[skipped])
    await slots.decide(cursors={}, planned=[a_plan()])
    assert not await slots.planned()


# ── OutboxStore ─────────────────────────────────────────────────────────────


class Outboxes:
    """An outbox and how something gets into it."""

    def __init__(self, store, put) -> None:
        self.store, self.put = store, put

    async def seqs(self, limit: int = 50, max_bytes: int = 1_000_000) -> list[int]:
        return [entry.seq for entry in await self.store.pending(limit, max_bytes)]


@pytest.fixture(params=["sqlite", "fake"])
def outbox(request: pytest.FixtureRequest) -> Outboxes:
    if request.param == "sqlite":
        journal = request.getfixturevalue("journal")
        return Outboxes(journal, journal.record)
    fake = FakeOutboxStore()

    async def put(report) -> None:
        fake.add(report)

    return Outboxes(fake, put)


async def test_reports_are_pending_in_the_order_they_were_recorded(outbox) -> None:
    reports = [a_report() for _ in range(5)]
    for report in reports:
        await outbox.put(report)
    entries = await outbox.store.pending(3, 1_000_000)
    assert [entry.report for entry in entries] == reports[:3]
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)


async def test_a_batch_has_at_least_one_report_however_small_the_limit(outbox) -> None:
    await outbox.put(a_report())
    await outbox.put(a_report())
    assert len(await outbox.seqs(max_bytes=1)) == 1


async def test_settled_reports_are_gone(outbox) -> None:
    report = a_report()
    await outbox.put(report)
    (seq,) = await outbox.seqs()
    await outbox.store.settle({seq: Verdict(run_id=report.run_id, kind=VerdictKind.ACCEPTED)})
    assert await outbox.seqs() == []
    await outbox.store.settle({seq: Verdict(run_id=report.run_id, kind=VerdictKind.ACCEPTED)})


async def test_newest_is_the_last_one_to_send_or_zero(outbox) -> None:
    assert await outbox.store.newest() == 0
    await outbox.put(a_report())
    await outbox.put(a_report())
    seqs = await outbox.seqs()
    assert await outbox.store.newest() == seqs[-1]
    await outbox.store.set_aside(seqs[-1], "refused")
    assert await outbox.store.newest() == seqs[0]


async def test_what_was_set_aside_is_not_pending(outbox) -> None:
    await outbox.put(a_report())
    (seq,) = await outbox.seqs()
    await outbox.store.set_aside(seq, "refused")
    assert await outbox.seqs() == []


async def test_a_stripped_report_keeps_its_outcome(outbox) -> None:
    report = a_report(output="much", error="bad", exit_code=3)
    await outbox.put(report)
    (seq,) = await outbox.seqs()
    await outbox.store.strip_output(seq)
    (entry,) = await outbox.store.pending(1, 1_000_000)
    assert entry.without_output
    assert entry.report == replace(report, output=None, error=None)


async def test_waiting_for_work_ends_when_there_is_some(outbox) -> None:
    waiting = asyncio.ensure_future(outbox.store.wait_pending())
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.put(a_report())
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(outbox.store.wait_pending(), 5)


# ── Notes ───────────────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "fake"])
def notes(request: pytest.FixtureRequest):
    return request.getfixturevalue("journal") if request.param == "sqlite" else FakeNotes()


async def test_a_note_is_none_until_it_is_put_and_the_last_one_counts(notes) -> None:
    assert await notes.get("claim_seq") is None
    await notes.put("claim_seq", "1")
    await notes.put("claim_seq", "2")
    assert await notes.get("claim_seq") == "2"


# ── what only the real one can promise ──────────────────────────────────────


async def test_the_start_of_a_slot_that_another_run_had_is_refused(journal) -> None:
    await journal.record(a_report(trigger=Trigger.SCHEDULE, status=RunStatus.OK, scheduled_for=SLOT))
    with pytest.raises(StateError, match="already run as"):
        await journal.record(a_report(trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, scheduled_for=SLOT))
