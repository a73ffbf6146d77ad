"""Intake: when it looks, what it asks, and that nothing is taken twice or lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from agent.errors import NeedsSignIn, Refused, StateError, Superseded, Unreachable
from agent.model import AgentState, BeatReply, Claimed, HelloReply, Trigger, WakeKind
from agent.queue.intake import AHEAD_S, NOTE, Box, Intake, Queue
from agent.report.link import Link
from tests.support.clock import VirtualClock, settle
from tests.support.fake_memory import FakeNotes
from tests.support.fake_stages import FakeJobs, FakePause, FakeRunner, FakeWakeUps, a_job
from tests.support.fake_supabase import FakeSupabase


class Begun:
    """`RunJournal.begun`: the claims recorded in an earlier life."""

    def __init__(self) -> None:
        self.claims: set = set()
        self.broken = False

    async def begun(self, claims) -> set:
        if self.broken:
            raise StateError("the disk is full")
        return self.claims & set(claims)


class House:
    """Intake with everything around it; `beats` stands for heartbeat and outbox."""

    def __init__(self, *, healthy: bool = True, poll_every_s: float = 3600) -> None:
        self.clock = VirtualClock()
        self.server = FakeSupabase(clock=self.clock)
        self.wakeups = FakeWakeUps(healthy=healthy)
        self.runner = FakeRunner(job_ids=("a", "b"))
        self.jobs = FakeJobs(a_job("a"), a_job("b"))
        self.journal, self.notes, self.pause, self.link = Begun(), FakeNotes(), FakePause(), Link()
        self.rejected: list = []
        self.beats_wanted = 0
        self.intake = Intake(
            Queue(claims=self.server, wakeups=self.wakeups, gate=self.link, pause=self.pause),
            Box(runner=self.runner, jobs=self.jobs, journal=self.journal, notes=self.notes, reject=self.reject),
            self.clock,
            poll_every_s=poll_every_s,
            beat_now=self.beat_now,
        )

    async def reject(self, run, message) -> None:
        self.rejected.append((run, message))

    def beat_now(self) -> None:
        self.beats_wanted += 1

    async def beats(self) -> None:
        while True:
            if not self.server.down:
                self.reconnect()
            await self.clock.sleep(1)

    def reconnect(self) -> None:
        self.link.reached()
        self.link.drained(self.link.gap)

    async def beat(self) -> None:
        """One beat's answer, as the heartbeat would pass it on."""
        self.intake.on_beat(await self.server.beat((), AgentState(), self.runner.claimable()))
        self.server.calls.pop()
        await settle()

    async def wake(self, kind: WakeKind = WakeKind.QUEUED) -> None:
        self.wakeups.say(kind)
        await settle()

    @property
    def claims(self) -> int:
        return self.server.count("claim")

    @property
    def taken(self) -> list:
        return [run.request.id for run in self.runner.submitted]


@asynccontextmanager
async def running(house: House):
    tasks = [asyncio.ensure_future(house.beats()), asyncio.ensure_future(house.intake.run())]
    await settle()
    yield house
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# ── when it looks ───────────────────────────────────────────────────────────


async def test_it_looks_once_at_start() -> None:
    house = House()
    request = house.server.queue()
    async with running(house):
        assert house.taken == [request]


async def test_a_wake_up_leads_to_a_claim_at_once() -> None:
    async with running(House()) as house:
        request = house.server.queue()
        await house.wake()
        assert house.taken == [request]


async def test_a_resubscription_drains_the_queue() -> None:
    async with running(House()) as house:
        request = house.server.queue()
        await house.wake(WakeKind.RESUBSCRIBED)
        assert house.taken == [request]


async def test_a_burst_of_wake_ups_is_one_claim_and_at_most_one_more() -> None:
    async with running(House()) as house:
        before = house.claims
        for _ in range(100):
            house.wakeups.say()
        await settle()
        assert 1 <= house.claims - before <= 2


async def test_a_wake_up_during_a_claim_is_followed_by_another_claim() -> None:
    house = House()
    claim = house.server.claim

    async def slow(*args):
        await house.clock.sleep(5)
        return await claim(*args)

    house.server.claim = slow
    async with running(house):
        await house.clock.advance(1)
        house.server.claim = claim
        await house.wake()
        await house.clock.advance(4)
        assert house.claims == 2


async def test_a_wake_up_for_a_cancellation_asks_for_a_beat_and_claims_nothing() -> None:
    async with running(House()) as house:
        before = house.claims
        await house.wake(WakeKind.CANCEL)
        assert house.beats_wanted == 1
        assert house.claims == before


async def test_while_realtime_is_healthy_an_idle_intake_asks_nothing() -> None:
    async with running(House(poll_every_s=15)) as house:
        before = house.claims
        for _ in range(100):
            await house.beat()
            await house.clock.advance(15)
        assert house.claims == before


async def test_a_beat_that_reports_due_rows_leads_to_a_claim() -> None:
    async with running(House()) as house:
        request = house.server.queue()
        await house.clock.advance(15)
        assert house.taken == []
        await house.beat()
        assert house.taken == [request]


async def test_without_realtime_it_polls() -> None:
    async with running(House(healthy=False, poll_every_s=15)) as house:
        request = house.server.queue()
        await house.clock.advance(15)
        assert house.taken == [request]
        house.wakeups.healthy = True
        before = house.claims
        await house.clock.advance(300)
        assert house.claims == before


@pytest.mark.parametrize("skew_s", [-3600, 0, 3600])
async def test_a_request_for_later_is_claimed_at_its_instant_whatever_our_clock_says(skew_s: int) -> None:
    house = House()
    house.server.skew = timedelta(seconds=skew_s)
    async with running(house):
        request = house.server.queue(due_in_s=100)
        await house.beat()
        await house.clock.advance(99)
        assert house.taken == []
        await house.clock.advance(1.1)
        assert house.taken == [request]


async def test_an_earlier_request_moves_the_alarm_and_a_cancelled_one_stops_it() -> None:
    async with running(House()) as house:
        late = house.server.queue(due_in_s=100)
        await house.beat()
        soon = house.server.queue(due_in_s=10)
        before = house.claims
        await house.beat()
        assert house.claims == before
        await house.clock.advance(11)
        assert house.taken == [soon]
        del house.server.rows[late]
        await house.beat()
        before = house.claims
        await house.clock.advance(200)
        assert house.claims == before


# ── slots ───────────────────────────────────────────────────────────────────


async def test_it_claims_no_more_than_there_are_free_slots_and_the_rest_when_one_is_free() -> None:
    house = House()
    house.runner.slots = 2
    requests = [house.server.queue() for _ in range(5)]
    async with running(house):
        assert house.taken == requests[:2]
        before = house.claims
        await house.beat()
        await house.wake()
        assert house.claims == before
        house.runner.end()
        await settle()
        assert house.taken == requests[:3]
        assert house.server.said("claim")[-1][2] == 1


async def test_a_full_queue_is_emptied_as_fast_as_slots_allow() -> None:
    house = House()
    house.runner.slots = 1
    requests = [house.server.queue() for _ in range(6)]
    async with running(house):
        for _ in range(6):
            house.runner.end()
            await settle()
    assert house.taken == requests


async def test_a_busy_job_is_not_asked_for_until_it_is_free_again() -> None:
    house = House()
    house.runner.busy_jobs = {"a"}
    async with running(house):
        request = house.server.queue("a")
        await house.wake()
        assert house.taken == []
        assert house.server.said("claim")[-1][1] == ("b",)
        before = house.claims
        house.runner.change()
        await settle()
        assert house.claims == before
        house.runner.busy_jobs = set()
        house.runner.change()
        await settle()
        assert house.taken == [request]


async def test_with_no_job_free_it_does_not_ask_at_all() -> None:
    house = House()
    house.runner.job_ids = ()
    async with running(house):
        await house.wake()
        assert house.claims == 0
        house.runner.job_ids = ("a",)
        house.runner.change()
        await settle()
        assert house.claims == 1


async def test_rows_that_others_hold_do_not_make_it_spin() -> None:
    house = House()
    claim = house.server.claim

    async def locked(*args):
        reply = await claim(*args)
        return Claimed(server_time=reply.server_time, due=3)

    house.server.claim = locked
    async with running(house):
        assert house.claims == 1


async def test_a_job_that_became_free_during_the_claim_is_asked_for_next() -> None:
    house = House()
    house.runner.busy_jobs = {"a"}
    request = house.server.queue("a")
    claim = house.server.claim

    async def slow(*args):
        await house.clock.sleep(1)
        return await claim(*args)

    house.server.claim = slow
    async with running(house):
        house.runner.busy_jobs = set()
        house.runner.change()
        await house.clock.advance(3)
        assert house.taken == [request]


# ── what becomes of a row ───────────────────────────────────────────────────


async def test_a_row_becomes_a_run_with_its_attempt_and_limit() -> None:
    house = House()
    request = house.server.queue("b", max_attempts=3, payload={"width": 1})
    async with running(house):
        (run,) = house.runner.submitted
        assert (run.job, run.trigger) == (house.jobs.get("b"), Trigger.REQUEST)
        assert (run.attempt, run.max_attempts) == (1, 3)
        assert (run.request.id, run.request.payload, run.request.claims) == (request, {"width": 1}, 1)


async def test_a_job_that_a_reload_removed_during_the_claim_is_rejected_with_its_name() -> None:
    house = House()
    request = house.server.queue("b")
    house.jobs.reload(a_job("a"))
    async with running(house):
        ((run, message),) = house.rejected
        assert (run.request.id, run.job.id) == (request, "b")
        assert 'Job "b" is no longer in the YAML' in message
        assert house.taken == []


async def test_rejected_rows_do_not_hold_up_the_rows_behind_them() -> None:
    house = House()
    house.runner.slots = 1
    for _ in range(3):
        house.server.queue("b")
    house.jobs.reload(a_job("a"))
    async with running(house):
        assert len(house.rejected) == 3


# ── lost answers ────────────────────────────────────────────────────────────


async def test_the_sequence_number_is_on_disk_before_it_is_asked() -> None:
    house = House()
    seen = []
    claim = house.server.claim

    async def spy(seq, *rest):
        seen.append((seq, house.notes.values.get(NOTE)))
        return await claim(seq, *rest)

    house.server.claim = spy
    async with running(house):
        await house.wake()
    assert seen == [(1, "1"), (2, "2")]


async def test_a_claim_whose_answer_was_lost_is_asked_again_with_its_number_and_gives_its_rows() -> None:
    house = House()
    request = house.server.queue()
    house.server.lose_answer("claim", times=2)
    async with running(house):
        await house.clock.advance(10)
        assert [seq for seq, _, _ in house.server.said("claim")] == [1, 1, 1]
        assert house.taken == [request]
        await house.wake()
        assert house.server.said("claim")[-1][0] == 2


async def test_a_lost_answer_is_asked_for_even_when_no_slot_is_free_any_more() -> None:
    house = House()
    house.runner.slots = 1
    request = house.server.queue()
    house.server.lose_answer("claim")
    async with running(house):
        house.runner.slots = 0
        other = house.server.queue()
        await house.clock.advance(10)
        assert house.taken == [request]
        assert house.server.said("claim")[-1] == (1, ("a", "b"), 0)
        assert house.server.rows[other].status == "queued"


async def test_a_row_that_runs_already_is_not_run_twice() -> None:
    house = House()
    house.server.queue()
    async with running(house):
        reply = await house.server.claim(1, ("a",), 1, 60)
        assert len(reply.requests) == 1
        await house.intake._admit_all(reply)
        assert len(house.taken) == 1


async def test_a_row_whose_run_began_in_an_earlier_life_is_not_run_again() -> None:
    house = House()
    request = house.server.queue()
    house.journal.claims = {(request, 1)}
    async with running(house):
        assert house.claims == 1
        assert house.taken == []


async def test_a_row_is_not_dropped_because_the_journal_cannot_be_asked() -> None:
    house = House()
    request = house.server.queue()
    house.journal.broken = True
    async with running(house):
        assert house.taken == [request]


async def test_a_restart_goes_on_with_the_next_number() -> None:
    house = House()
    house.notes.values[NOTE] = "41"
    async with running(house):
        assert house.server.said("claim")[0][0] == 42


async def test_a_restored_state_directory_goes_on_after_the_servers_number() -> None:
    house = House()
    house.notes.values[NOTE] = "3"
    house.server.claim_seq = 41
    request = house.server.queue()
    now = house.clock.now()
    house.intake.on_hello(HelloReply(epoch=2, role="agent", schema_version=1, server_time=now, claim_seq=41))
    async with running(house):
        assert house.server.said("claim")[0][0] == 42
        assert house.taken == [request]


# ── trouble ─────────────────────────────────────────────────────────────────


async def test_no_backoff_is_sat_out_when_the_server_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.queue.intake.random.uniform", lambda _, most: most)
    house = House()
    house.server.fail("claim", Unreachable("timeout"), times=6)
    request = house.server.queue()
    async with running(house):
        await house.clock.advance(40)
        assert house.claims == 6
        house.link.recovered()
        await settle()
        assert house.taken == [request]


async def test_a_job_that_was_just_mirrored_is_claimed_for_at_once() -> None:
    house = House()
    async with running(house):
        request = house.server.queue()
        house.intake.look()
        await settle()
        assert house.taken == [request]


async def test_nothing_is_claimed_before_the_outbox_was_drained() -> None:
    house = House()
    house.server.queue()
    task = asyncio.ensure_future(house.intake.run())
    house.link.reached()
    await settle()
    assert house.claims == 0
    house.link.drained(house.link.gap)
    await settle()
    assert house.claims == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_unreachable_server_is_a_gap_and_the_claim_is_repeated_after_it() -> None:
    house = House()
    house.server.fail("claim", Unreachable("503"), times=5)
    request = house.server.queue()
    with capture_logs() as logs:
        async with running(house):
            assert not house.link.accepted
            await house.clock.advance(5)
            assert house.claims < 5
            await house.clock.advance(120)
            assert house.taken == [request]
    assert len([line for line in logs if line["log_level"] == "warning"]) == 1


@pytest.mark.parametrize(
    ("error", "gap"), [(NeedsSignIn("sign in"), True), (Superseded("older"), True), (Refused("no", status=400), False)]
)
async def test_other_trouble_is_tried_again_and_a_refusal_is_no_gap(error, gap: bool) -> None:
    house = House()
    house.server.fail("claim", error)
    request = house.server.queue()
    async with running(house):
        assert house.link.accepted is not gap
        await house.clock.advance(5)
        assert house.taken == [request]


async def test_nothing_is_asked_while_the_number_cannot_be_written() -> None:
    house = House()
    house.notes.broken = True
    house.server.queue()
    async with running(house):
        await house.clock.advance(10)
        assert house.claims == 0
        house.notes.broken = False
        await house.clock.advance(60)
        assert house.claims == 1


async def test_while_paused_nothing_is_claimed_and_afterwards_the_beat_says_what_is_due() -> None:
    house = House()
    house.pause.what = {"claims"}
    request = house.server.queue()
    async with running(house):
        await house.wake()
        await house.beat()
        assert house.claims == 0
        house.pause.what = set()
        await house.beat()
        assert house.taken == [request]


async def test_a_beat_with_nothing_to_say_changes_nothing() -> None:
    async with running(House()) as house:
        before = house.claims
        house.intake.on_beat(BeatReply(server_time=house.clock.now()))
        await house.clock.advance(100)
        assert house.claims == before


# ── claimed ahead ────────────────────────────────────────────────────────────


def busy(house: House, ahead: int, *job_ids: str) -> None:
    """Every slot is taken; so many more of these jobs would begin in a moment."""
    house.runner.slots = 1
    house.runner.quick = (ahead, job_ids)


async def test_requests_of_quick_jobs_are_claimed_before_a_slot_is_free() -> None:
    house = House()
    busy(house, 3, "a", "b")
    requests = [house.server.queue() for _ in range(6)]
    async with running(house):
        assert house.taken == requests[:4]
        assert house.server.said("claim")[0][2] == 4
        house.runner.end()
        await settle()
        assert house.taken == requests[:5]


async def test_of_slow_jobs_only_what_may_begin_now_is_claimed() -> None:
    house = House()
    busy(house, 3, "a")
    slow = [house.server.queue("b") for _ in range(2)]
    quick = [house.server.queue("a") for _ in range(2)]
    async with running(house):
        assert house.taken == [slow[0], *quick]
        assert [call[1:] for call in house.server.said("claim")] == [(("a", "b"), 1), (("a",), 3)]


async def test_a_long_queue_of_a_quick_job_does_not_keep_the_others_out() -> None:
    house = House()
    busy(house, 2, "a")
    first = house.server.queue("a")
    async with running(house):
        other = house.server.queue("b")
        later = [house.server.queue("a") for _ in range(20)]
        await house.beat()
        assert house.taken[:2] == [first, later[0]]  # ahead of `b`, for a second
        await house.clock.advance(AHEAD_S)
        while other not in house.taken:
            house.runner.end()
            await settle()
        assert not set(house.taken).issuperset(later)
