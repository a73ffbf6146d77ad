"""The outbox sender: in order, again and again, never stuck on one report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.errors import NeedsSignIn, Refused, StateError, Superseded, Unreachable
from agent.model import OutboxEntry, Report, RunStatus, Verdict, VerdictKind
from agent.report.link import Link
from agent.report.outbox import BATCH_REPORTS, BUSY_REPORTS, LINGER_S, STUBBORN, Outbox
from tests.support.clock import VirtualClock, settle
from tests.support.fake_memory import FakeOutboxStore
from tests.support.fake_supabase import FakeSupabase
from tests.support.reports import a_report

BAD = Refused("22P05: unsupported Unicode", code="22P05", status=400)


class House:
    """An outbox with everything around it; `beats` stands for the heartbeat."""

    def __init__(self, beat_s: float = 1.0) -> None:
        self.beat_s = beat_s
        self.clock = VirtualClock()
        self.store = FakeOutboxStore()
        self.server = FakeSupabase(clock=self.clock)
        self.link = Link()
        self.outbox = Outbox(self.store, self.server, self.link, self.clock)

    async def beats(self) -> None:
        while True:
            if not self.server.down:
                self.link.reached()
            await self.clock.sleep(self.beat_s)

    def sent(self) -> list[list[int]]:
        return [[entry.seq for entry in batch] for batch in self.server.said("report")]


@asynccontextmanager
async def running(house: House):
    tasks = [asyncio.ensure_future(house.outbox.run()), asyncio.ensure_future(house.beats())]
    await settle()
    yield house
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_report_is_sent_at_once_when_the_server_is_there() -> None:
    async with running(House()) as house:
        house.store.add(a_report())
        await settle()
        assert house.sent() == [[1]]
        assert not house.store.entries


async def test_no_backoff_is_sat_out_when_the_server_answers_again() -> None:
    async with running(House()) as house:
        house.server.fail("report", Unreachable("timeout"), times=6)
        house.store.add(a_report())
        await house.clock.advance(31)  # 1 + 2 + 4 + 8 + 16 s at most; the next rest alone is 15 s at least
        assert len(house.sent()) == 6
        house.link.recovered()
        await settle()
        assert not house.store.entries


async def test_nothing_is_sent_before_hello() -> None:
    house = House()
    house.server.down = True
    async with running(house):
        house.store.add(a_report())
        await house.clock.advance(600)
        assert house.sent() == []


async def test_many_reports_go_in_batches_in_order() -> None:
    house = House()
    seqs = [house.store.add(a_report()) for _ in range(2 * BATCH_REPORTS + 20)]
    async with running(house):
        assert [len(batch) for batch in house.sent()] == [BATCH_REPORTS, BATCH_REPORTS, 20]
        assert [seq for batch in house.sent() for seq in batch] == seqs


async def test_a_start_whose_end_is_here_too_goes_without_saying_and_is_settled_with_it() -> None:
    house = House()
    start, alone = a_report(status=RunStatus.RUNNING), a_report(status=RunStatus.RUNNING)
    for report in (start, alone, a_report(run_id=start.run_id)):
        house.store.add(report)
    async with running(house):
        assert house.sent() == [[2, 3]]
        assert set(house.store.verdicts) == {1, 2, 3}


async def test_a_start_is_not_settled_before_its_end_can_be_stored() -> None:
    house = House()
    start = a_report(status=RunStatus.RUNNING)
    house.server = house.outbox._call = Picky(house.clock, {start.run_id}, set())
    for report in (start, a_report(run_id=start.run_id, output="x")):
        house.store.add(report)
    async with running(house):
        await house.clock.advance(30)
        assert set(house.store.verdicts) == {1, 2}
        assert house.server.runs[start.run_id].status is RunStatus.OK


async def test_while_runs_come_and_go_the_next_call_is_left_a_moment_to_fill() -> None:
    async with running(House()) as house:
        for _ in range(BUSY_REPORTS):
            house.store.add(a_report())
        await settle()
        house.store.add(a_report())
        await settle()
        assert len(house.sent()) == 1
        house.store.add(a_report())
        await house.clock.advance(LINGER_S)
        assert [len(batch) for batch in house.sent()] == [BUSY_REPORTS, 2]
        house.store.add(a_report())  # it is quiet again
        await settle()
        assert [len(batch) for batch in house.sent()] == [BUSY_REPORTS, 2, 1]


async def test_a_batch_whose_answer_was_lost_is_sent_again_after_the_next_beat() -> None:
    house = House()
    house.store.add(a_report())
    house.server.lose_answer("report")
    async with running(house):
        assert not house.link.accepted
        await house.clock.advance(10)
        assert house.sent() == [[1], [1]]
        assert house.store.verdicts[1].kind is VerdictKind.DUPLICATE


async def test_an_outage_is_waited_out_with_growing_pauses() -> None:
    house = House()
    house.store.add(a_report())
    house.server.fail("report", Unreachable("503"), times=6)
    async with running(house):
        await house.clock.advance(7)
        assert len(house.sent()) < 5
        await house.clock.advance(300)
        assert not house.store.entries


async def test_a_wish_of_the_server_to_be_left_alone_is_granted() -> None:
    house = House()
    house.store.add(a_report())
    house.server.fail("report", Unreachable("429", retry_after_s=100))
    async with running(house):
        await house.clock.advance(99)
        assert len(house.sent()) == 1
        await house.clock.advance(5)
        assert not house.store.entries


@pytest.mark.parametrize("error", [NeedsSignIn("sign in"), Superseded("older epoch")])
async def test_trouble_with_who_we_are_is_the_heartbeats_to_find_out(error) -> None:
    house = House()
    house.store.add(a_report())
    house.server.fail("report", error)
    async with running(house):
        assert not house.link.accepted
        assert list(house.store.entries) == [1]


@pytest.mark.parametrize("status", [401, 403, 408, 429])
async def test_a_refusal_that_is_not_about_the_reports_sets_nothing_aside(status: int) -> None:
    house = House()
    house.store.add(a_report(output="x"))
    house.server.fail("report", Refused("no", status=status), times=20)
    async with running(house):
        await house.clock.advance(2000)
        assert not house.store.aside
        assert house.server.runs
        assert next(iter(house.server.runs.values())).output == "x"


async def test_a_refusal_of_something_before_the_database_sets_nothing_aside() -> None:
    """Gateways say `404 no Route matched` in a restart; the report was good, and its request would never end."""
    house = House()
    house.store.add(a_report(output="x"))
    house.store.add(a_report(output="x"))
    house.server.fail("report", Refused("no Route matched with those values", status=404), times=5)
    async with running(house):
        await house.clock.advance(300)
    assert not house.store.aside
    assert [run.output for run in house.server.runs.values()] == ["x", "x"]


async def test_a_full_disk_delays_settling_and_nothing_else() -> None:
    house = House()
    house.store.add(a_report())
    house.store.full = True
    async with running(house):
        await house.clock.advance(5)
        assert house.link.accepted
        house.store.full = False
        await house.clock.advance(60)
        assert not house.store.entries


class Picky(FakeSupabase):
    """Refuses every batch with a culprit in it; `bare_too` are refused without output as well."""

    def __init__(self, clock, culprits: set[UUID], bare_too: set[UUID]) -> None:
        super().__init__(clock=clock)
        self.culprits, self.bare_too = culprits, bare_too

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        for entry in entries:
            run = entry.report.run_id
            if run in self.bare_too or (run in self.culprits and not entry.without_output):
                self.calls.append(("refused", tuple(entries)))
                raise BAD
        return await super().report(entries)


async def test_a_refused_batch_is_halved_until_the_culprit_goes_without_its_output() -> None:
    house = House()
    reports = [a_report(output="x") for _ in range(20)]
    house.server = house.outbox._call = Picky(house.clock, {reports[13].run_id}, set())
    for report in reports:
        house.store.add(report)
    with capture_logs() as logs:
        async with running(house):
            assert not house.store.entries
    assert list(house.server.runs) == [report.run_id for report in reports]
    assert [run.output for run in house.server.runs.values()].count(None) == 1
    assert [line["event"] for line in logs] == ["report refused; sending it without its output"]


async def test_a_report_refused_without_its_output_too_is_set_aside_and_the_rest_goes_on() -> None:
    house = House()
    reports = [a_report(output="x") for _ in range(7)]
    house.server = house.outbox._call = Picky(house.clock, set(), {reports[0].run_id, reports[6].run_id})
    for report in reports:
        house.store.add(report)
    async with running(house):
        assert house.link.claiming
    assert set(house.store.aside) == {1, 7}
    assert "22P05" in house.store.aside[1]
    assert list(house.server.runs) == [report.run_id for report in reports[1:6]]


@pytest.mark.parametrize("code", ["", "PGRST102", "encoding"])
async def test_a_batch_too_large_or_unreadable_is_halved(code: str) -> None:
    house = House()
    reports = [a_report(output="x") for _ in range(4)]
    deliver = house.server.report

    async def narrow(entries):
        if len(entries) > 1:
            raise Refused("too much", code=code, status=400 if code else 413)
        return await deliver(entries)

    house.server.report = narrow
    for report in reports:
        house.store.add(report)
    async with running(house):
        assert list(house.server.runs) == [report.run_id for report in reports]
    assert not house.store.aside


async def test_a_report_that_cannot_be_stored_is_lightened_then_kept_so_that_its_request_never_runs_twice() -> None:
    house = House()
    good, heavy, bad = a_report(), a_report(output="x"), a_report(output="x")
    deliver = house.server.report

    async def judging(entries):
        verdicts = dict(await deliver(entries))
        for entry in entries:
            if entry.report.run_id == bad.run_id or (entry.report.run_id == heavy.run_id and not entry.without_output):
                why = "invalid: 22003 out of range"
                verdicts[entry.seq] = Verdict(run_id=entry.report.run_id, kind=VerdictKind.REJECTED, why=why)
        return verdicts

    house.server.report = judging
    for report in (good, heavy, bad):
        house.store.add(report)
    async with running(house):
        assert house.link.claiming
        await house.clock.advance(5)
    assert list(house.store.aside) == [3]
    assert "22003" in house.store.aside[3]
    assert [verdict.kind is VerdictKind.REJECTED for verdict in house.store.verdicts.values()] == [False, False]


async def test_a_report_that_never_gets_through_alone_is_tried_without_its_output() -> None:
    """A proxy on the way that chokes on the output answers 5xx or nothing, while beats are answered."""
    house = House()
    house.store.add(a_report(output="x"))
    house.server.fail("report", Unreachable("520"), times=STUBBORN)
    async with running(house):
        await house.clock.advance(600)
    assert [run.output for run in house.server.runs.values()] == [None]


async def test_a_large_batch_that_fails_is_tried_smaller() -> None:
    house = House()
    for _ in range(BATCH_REPORTS + 10):
        house.store.add(a_report())
    house.server.fail("report", Unreachable("timeout"), times=3)
    async with running(house):
        await house.clock.advance(60)
    assert [len(batch) for batch in house.sent()][:4] == [BATCH_REPORTS >> failures for failures in range(4)]
    assert not house.store.entries


async def test_a_rejected_report_is_settled_and_said_with_its_reason() -> None:
    house = House()
    request = house.server.queue()
    house.store.add(a_report(request_id=request, claims=1))
    with capture_logs() as logs:
        async with running(house):
            assert house.store.verdicts[1].why == "fenced"
    assert [(line["event"], line["why"]) for line in logs] == [("report rejected; the run is kept locally", "fenced")]


async def test_reports_the_server_did_not_answer_stay() -> None:
    house = House()
    answer = house.server.report

    async def forgetful(entries):
        return dict(list((await answer(entries)).items())[:1])

    house.server.report = forgetful
    for _ in range(3):
        house.store.add(a_report())
    async with running(house):
        assert list(house.store.entries) == [2, 3]
        house.server.report = answer
        await house.clock.advance(30)
        assert not house.store.entries


# ── the order after a gap ───────────────────────────────────────────────────


async def test_claims_wait_until_what_was_pending_at_reconnection_is_settled() -> None:
    house = House()
    house.server.down = True
    async with running(house):
        for _ in range(60):
            house.store.add(a_report())
        house.server.down = False
        house.server.fail("report", Refused("busy", status=429))
        await house.clock.advance(1.1)
        assert house.link.accepted
        assert not house.link.claiming
        await house.clock.advance(60)
        assert house.link.claiming


async def test_claims_resume_at_once_with_nothing_to_report() -> None:
    async with running(House()) as house:
        assert house.link.claiming
        house.link.lost()
        await settle()
        assert not house.link.claiming
        await house.clock.advance(1)
        assert house.link.claiming


async def test_reports_that_come_after_reconnection_do_not_hold_claims_back() -> None:
    house = House()
    house.store.add(a_report())
    deliver = house.server.report

    async def busy(entries):
        house.store.add(a_report())  # jobs go on ending while we send
        await asyncio.sleep(0)
        return await deliver(entries)

    house.server.report = busy
    task = asyncio.ensure_future(house.outbox.run())
    house.link.reached()
    for _ in range(30):
        await asyncio.sleep(0)
    assert house.link.claiming
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_gap_during_the_drain_needs_a_drain_of_its_own() -> None:
    house = House()
    house.store.add(a_report())
    deliver, claiming = house.server.report, []

    async def interrupted(entries):
        claiming.append(house.link.claiming)
        if len(claiming) == 1:
            house.link.lost()
            house.link.reached()
            house.store.add(a_report())
        return await deliver(entries)

    house.server.report = interrupted
    async with running(house):
        assert claiming == [False, False]
        assert house.link.claiming


# ── shutdown ────────────────────────────────────────────────────────────────


async def test_flush_sends_what_there_is() -> None:
    house = House()
    house.link.reached()
    for _ in range(70):
        house.store.add(a_report())
    assert await house.outbox.flush(5)
    assert not house.store.entries


async def test_flush_gives_up_when_its_time_is_over_or_the_server_is_away() -> None:
    house = House()
    assert not await house.outbox.flush(5)
    house.link.reached()
    house.store.add(a_report())

    async def never(entries):
        await asyncio.Event().wait()

    house.server.report = never
    flushing = asyncio.ensure_future(house.outbox.flush(5))
    await house.clock.advance(5.1)
    assert flushing.result() is False
    del house.server.report
    house.server.down = True
    assert not await house.outbox.flush(5)
    assert list(house.store.entries) == [1]


# ── any interleaving ────────────────────────────────────────────────────────

TROUBLE = st.sampled_from(["none", "none", "unreachable", "lost answer", "429", "forbidden", "disk full"])


class Stormy(Picky):
    """Has one trouble per call, in the order drawn; then none."""

    def __init__(self, clock, culprits, bare_too, troubles: list[str], store: FakeOutboxStore) -> None:
        super().__init__(clock, culprits, bare_too)
        self.troubles, self.store = troubles, store
        self.arrivals: list[tuple[UUID, RunStatus]] = []

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        trouble = self.troubles.pop(0) if self.troubles else "none"
        self.store.full = trouble == "disk full"
        if trouble == "unreachable":
            raise Unreachable("refused")
        if trouble in ("429", "forbidden"):
            raise Refused(trouble, status={"429": 429, "forbidden": 403}[trouble])
        verdicts = await super().report(entries)
        self.arrivals += [(entry.report.run_id, entry.report.status) for entry in entries]
        if trouble == "lost answer":
            raise Unreachable("lost")
        return verdicts


def lives(kinds: list[str]) -> list[tuple[str, list[Report]]]:
    """A start and an end per run; what is wrong with the end is its kind."""
    runs = []
    for kind in kinds:
        start = a_report(status=RunStatus.RUNNING)
        runs.append((kind, [start, a_report(run_id=start.run_id, output="x")]))
    return runs


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["good", "good", "culprit", "poison"]), min_size=1, max_size=12),
    troubles=st.lists(TROUBLE, max_size=25),
    order=st.randoms(use_true_random=False),
)
def test_every_report_is_settled_or_set_aside_exactly_once_and_in_order(kinds, troubles, order) -> None:
    asyncio.run(_storm(lives(kinds), troubles, order))


async def _storm(runs, troubles, order) -> None:
    house = House(beat_s=30)
    culprits = {reports[1].run_id for kind, reports in runs if kind == "culprit"}
    poison = {reports[1].run_id for kind, reports in runs if kind == "poison"}
    house.server = house.outbox._call = Stormy(house.clock, culprits, poison, troubles, house.store)
    waiting = [list(reports) for _, reports in runs]
    async with running(house):
        while any(waiting):
            queue = order.choice([reports for reports in waiting if reports])
            house.store.add(queue.pop(0))
            if order.random() < 0.3:
                await house.clock.advance(order.uniform(0, 20))
        await house.clock.advance(3000)
        assert house.link.claiming
    all_seqs = set(range(1, 2 * len(runs) + 1))
    assert set(house.store.verdicts) | set(house.store.aside) == all_seqs
    assert not set(house.store.verdicts) & set(house.store.aside)
    assert set(house.store.entries) == set(house.store.aside)
    for kind, reports in runs:
        statuses = [status for run_id, status in house.server.arrivals if run_id == reports[0].run_id]
        if kind == "poison":
            assert statuses == []
        else:
            # A start that was left out beside its end, and then split from it, may follow it: a duplicate.
            assert RunStatus.OK in statuses
            assert house.server.runs[reports[0].run_id].status is RunStatus.OK


async def test_a_journal_that_cannot_be_read_is_asked_again() -> None:
    house = House()
    house.store.add(a_report())
    pending = house.store.pending

    async def broken(limit, max_bytes):
        house.store.pending = pending
        raise StateError("the disk is full")

    house.store.pending = broken
    async with running(house):
        await house.clock.advance(5)
    assert not house.store.entries
