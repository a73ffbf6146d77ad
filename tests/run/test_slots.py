from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest
import structlog

from agent.model import Job, Outcome, Overlap, Reason, Run, RunStatus, Trigger
from agent.run import lanes as lanes_module
from agent.run import slots as slots_module
from agent.run.slots import Slots
from tests.support.clock import VirtualClock, settle
from tests.support.fake_runs import FakeJobs, a_job, a_request, a_run


class FakeExecution:
    """Runs that last until a test ends them, or until they are cancelled; `log` is what happened, in order."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ends: dict[UUID, asyncio.Future[None]] = {}
        self._overs: dict[UUID, Callable[[], None]] = {}
        self.log: list[tuple[str, Run]] = []
        self.fails_to_record = False

    async def execute(self, run: Run, cancel, over) -> Outcome:
        self.log.append(("began", run))
        end = self._ends[run.id] = asyncio.get_running_loop().create_future()
        self._overs[run.id] = over
        told = asyncio.create_task(cancel.wait())
        await asyncio.wait({end, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if end.done():
            end.result()
        self.log.append(("cancelled" if cancel.reason else "ended", run))
        return self._outcome(cancel.reason)

    async def reject(self, run: Run, message: str) -> Outcome:
        self.log.append((f"rejected: {message}", run))
        return self._outcome(Reason.REJECTED)

    async def skip(self, run: Run, reason: Reason, message: str) -> Outcome:
        if self.fails_to_record:
            raise RuntimeError("a bug")
        self.log.append((f"skipped {reason}", run))
        return self._outcome(reason)

    async def cancelled(self, run: Run, reason: str) -> Outcome:
        self.log.append((f"never began: {reason}", run))
        return self._outcome(reason)

    async def broken(self, run: Run, began: datetime, why: str) -> Outcome:
        self.log.append((f"broken: {why}", run))
        return self._outcome(None)

    def over(self, run: Run) -> None:
        """The command has ended; `end` follows, when that is committed."""
        self._overs[run.id]()

    def end(self, run: Run, fault: Exception | None = None) -> None:
        if fault:
            self._ends[run.id].set_exception(fault)
        else:
            self._ends[run.id].set_result(None)

    def of(self, run: Run) -> list[str]:
        return [what for what, whom in self.log if whom.id == run.id]

    def _outcome(self, reason: str | None) -> Outcome:
        now = self._clock.now()
        status = RunStatus.CANCELLED if reason else RunStatus.OK
        return Outcome(status=status, reason=Reason(reason) if reason else None, started_at=now, finished_at=now)


class Box:
    def __init__(self, *jobs: Job, concurrency: int = 4, tags=None) -> None:
        self.clock = VirtualClock()
        self.jobs = FakeJobs(*jobs)
        self.execution = FakeExecution(self.clock)
        self.slots = Slots(
            execution=self.execution, clock=self.clock, jobs=self.jobs, concurrency=concurrency, tags=tags or {}
        )

    async def submit(self, *runs: Run) -> None:
        for run in runs:
            self.slots.submit(run)
        await settle()

    async def end(self, run: Run, fault: Exception | None = None) -> None:
        self.execution.end(run, fault)
        await settle()

    def of(self, run: Run) -> list[str]:
        return self.execution.of(run)


def scheduled(job: Job, **fields) -> Run:
    return a_run(job, **fields)


def requested(job: Job) -> Run:
    return a_run(job, request=a_request(job))


SKIP = a_job("skip", overlap=Overlap.SKIP)
QUEUE = a_job("queue", overlap=Overlap.QUEUE)
CANCEL = a_job("cancel", overlap=Overlap.CANCEL_PREVIOUS)
ALLOW = a_job("allow", overlap=Overlap.ALLOW)
ALL = (SKIP, QUEUE, CANCEL, ALLOW)


def box(concurrency: int = 4) -> Box:
    return Box(*ALL, concurrency=concurrency)


# ── overlap ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.id)
async def test_a_run_of_an_idle_job_begins_at_once(job: Job):
    b, run = box(), scheduled(job)
    await b.submit(run)
    assert b.of(run) == ["began"]
    await b.end(run)
    assert b.of(run) == ["began", "ended"]
    assert b.slots.running() == []


async def test_skip_records_the_slot_and_lets_the_run_go_on():
    b, first, second = box(), scheduled(SKIP), scheduled(SKIP)
    await b.submit(first, second)
    assert b.of(second) == ["skipped overlap"]
    await b.end(first)
    assert b.of(first) == ["began", "ended"]


async def test_queue_waits_for_the_end():
    b, first, second = box(), scheduled(QUEUE), scheduled(QUEUE)
    await b.submit(first, second)
    assert b.of(second) == []
    await b.end(first)
    assert b.of(second) == ["began"]


async def test_queue_keeps_one_waiting_slot_the_newest():
    b = box()
    runs = [scheduled(QUEUE) for _ in range(4)]
    await b.submit(*runs)
    assert [b.of(run) for run in runs] == [["began"], ["skipped overlap"], ["skipped overlap"], []]
    await b.end(runs[0])
    assert b.of(runs[3]) == ["began"]


async def test_cancel_previous_begins_when_the_previous_has_ended():
    b, first, second = box(), scheduled(CANCEL), scheduled(CANCEL)
    await b.submit(first, second)
    assert b.execution.log == [("began", first), ("cancelled", first), ("began", second)]


async def test_cancel_previous_passes_over_a_slot_that_still_waits():
    b = box()
    first, second, request = scheduled(CANCEL), scheduled(CANCEL), requested(CANCEL)
    await b.submit(first)
    b.slots.submit(second)
    b.slots.submit(request)
    await settle()
    assert (b.of(first)[-1], b.of(second), b.of(request)) == ("cancelled", ["skipped overlap"], ["began"])


async def test_allow_begins_beside():
    b, first, second = box(), scheduled(ALLOW), scheduled(ALLOW)
    await b.submit(first, second)
    assert (b.of(first), b.of(second)) == (["began"], ["began"])


async def test_other_jobs_are_not_concerned():
    b, first, other = box(), scheduled(SKIP), scheduled(QUEUE)
    await b.submit(first, other)
    assert b.of(other) == ["began"]


@pytest.mark.parametrize("job", [SKIP, QUEUE], ids=lambda job: job.id)
async def test_a_request_waits_for_its_busy_job_and_is_never_skipped(job: Job):
    b = box()
    running, first, second = scheduled(job), requested(job), requested(job)
    await b.submit(running, first, second)
    assert b.of(first) == b.of(second) == []
    await b.end(running)
    assert (b.of(first), b.of(second)) == (["began"], [])
    await b.end(first)
    assert b.of(second) == ["began"]


async def test_a_slot_is_skipped_where_a_request_waits_or_runs():
    b, request, slot = box(), requested(SKIP), scheduled(SKIP)
    await b.submit(request, slot)
    assert b.of(slot) == ["skipped overlap"]


@pytest.mark.parametrize("job", [SKIP, QUEUE], ids=lambda job: job.id)
async def test_catch_ups_run_one_after_another_none_is_skipped(job: Job):
    b = box()
    runs = [scheduled(job, trigger=Trigger.CATCH_UP) for _ in range(3)]
    await b.submit(*runs)
    for run in runs:
        assert b.of(run) == ["began"]
        await b.end(run)
    assert all(b.of(run) == ["began", "ended"] for run in runs)


# ── concurrency ─────────────────────────────────────────────────────────────


async def test_no_more_run_than_may_and_the_rest_begin_in_order():
    b = Box(*(a_job(str(n)) for n in range(5)), concurrency=2)
    runs = [scheduled(job) for job in b.jobs.all()]
    await b.submit(*runs)
    assert [b.of(run) for run in runs] == [["began"], ["began"], [], [], []]
    assert b.slots.free == 0
    await b.end(runs[1])
    assert [bool(b.of(run)) for run in runs] == [True, True, True, False, False]
    await b.end(runs[0])
    await b.end(runs[2])
    assert all(b.of(run) for run in runs)
    assert b.slots.free == 0
    await b.end(runs[3])
    assert b.slots.free == 1


async def test_who_waits_for_its_job_does_not_hold_up_the_others():
    b = box(concurrency=2)
    first, second, other = scheduled(QUEUE), scheduled(QUEUE), scheduled(ALLOW)
    await b.submit(first, second, other)
    assert (b.of(second), b.of(other)) == ([], ["began"])


async def test_at_full_concurrency_a_job_keeps_one_waiting_slot():
    for job, skipped in ((ALLOW, 0), (SKIP, 1)):
        b = box(concurrency=1)
        blocker, first, second = scheduled(QUEUE), scheduled(job), scheduled(job)
        await b.submit(blocker, first, second)
        assert b.of((first, second)[skipped]) == ["skipped overlap"]
        await b.end(blocker)
        assert b.of((second, first)[skipped]) == ["began"]


async def test_when_too_many_wait_the_next_is_skipped_as_busy(monkeypatch):
    monkeypatch.setattr(slots_module, "WAITING_LIMIT", 2)
    b = box(concurrency=1)
    runs = [scheduled(QUEUE, trigger=Trigger.CATCH_UP) for _ in range(4)]
    request = requested(QUEUE)
    await b.submit(*runs, request)
    assert b.of(runs[3]) == ["skipped busy"]
    assert request.id in {each.run_id for each in b.slots.running()}


async def test_more_concurrency_begins_what_waits_and_less_ends_nothing():
    b = box(concurrency=1)
    first, second, third = scheduled(SKIP), scheduled(QUEUE), scheduled(ALLOW)
    await b.submit(first, second, third)
    b.slots.resize(2)
    await settle()
    assert (b.of(second), b.of(third)) == (["began"], [])
    b.slots.resize(1)
    await b.end(first)
    assert b.of(third) == []
    assert b.of(second) == ["began"]


# ── limits of a job and of a tag ────────────────────────────────────────────


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE], ids=str)
async def test_a_job_runs_as_often_at_a_time_as_its_concurrency_says(overlap):
    job = a_job(overlap=overlap, concurrency=2)
    b = Box(job, SKIP)
    runs = [requested(job) for _ in range(4)]
    await b.submit(runs[0])
    assert b.slots.claimable() == ["job", "skip"]
    await b.submit(*runs[1:], other := scheduled(SKIP))
    assert [bool(b.of(run)) for run in (*runs, other)] == [True, True, False, False, True]
    assert b.slots.claimable() == []
    await b.end(runs[1])
    assert [bool(b.of(run)) for run in runs] == [True, True, True, False]


async def test_runs_of_a_limited_tag_wait_for_each_other_and_hold_up_nobody_else():
    one, two, both, free = (a_job(f"j{n}", tags=t) for n, t in enumerate((("db",), ("db",), ("db", "gpu"), ("x",))))
    b = Box(one, two, both, free, concurrency=10, tags={"db": 1, "gpu": 3})
    first, second, third, other = (scheduled(job) for job in (one, both, two, free))
    await b.submit(first, second, third, other)
    assert [bool(b.of(run)) for run in (first, second, third, other)] == [True, False, False, True]
    assert b.slots.claimable() == []
    await b.end(first)
    assert (b.of(second), b.of(third)) == (["began"], [])  # who waits keeps its place
    await b.end(second)
    await b.end(third)
    await b.end(other)
    assert b.slots.claimable() == ["j0", "j1", "j2", "j3"]


async def test_a_cancelling_job_counts_the_run_that_it_will_end_as_gone():
    job = a_job(overlap=Overlap.CANCEL_PREVIOUS, tags=("db",))
    b = Box(job, a_job("other", tags=("db",)), tags={"db": 1})
    await b.submit(scheduled(job))
    assert b.slots.claimable() == ["job"]


async def test_a_reload_changes_the_limits_of_jobs_and_tags():
    job = a_job("job", overlap=Overlap.ALLOW, concurrency=1, tags=("db",))
    b = Box(job, concurrency=10)
    runs = [requested(job) for _ in range(4)]
    await b.submit(*runs)
    b.jobs.change("job", concurrency=3)
    b.slots.resize(10, {"db": 2})
    await settle()
    assert [bool(b.of(run)) for run in runs] == [True, True, False, False]
    b.slots.resize(10)
    await settle()
    assert [bool(b.of(run)) for run in runs] == [True, True, True, False]
    b.jobs.replace()
    b.slots.resize(10)  # what waits for a job that is gone keeps its rules
    for run in runs:
        await b.end(run) if "began" in b.of(run) else None
    assert b.of(runs[3]) == ['rejected: Job "job" is no longer in the YAML.']


async def test_a_long_line_costs_no_more_per_run_than_a_short_one(monkeypatch):
    looked = 0

    def counting(heap):
        nonlocal looked
        looked += 1
        return original(heap)

    original = lanes_module.heappop
    monkeypatch.setattr(lanes_module, "heappop", counting)
    jobs = [a_job(f"j{n}", overlap=Overlap.ALLOW, tags=("db",)) for n in range(50)]
    b = Box(*jobs, concurrency=2, tags={"db": 2})
    runs = [requested(jobs[n % 50]) for n in range(1000)]
    for run in runs:
        b.slots.submit(run)
    for run in runs:
        if not b.of(run):
            await asyncio.sleep(0)
        b.execution.end(run)
        for _ in range(6):
            await asyncio.sleep(0)
    assert [whom for what, whom in b.execution.log if what == "began"] == runs
    assert looked < 3 * len(runs)


# ── what others ask ─────────────────────────────────────────────────────────


async def test_claimable_are_the_jobs_for_which_a_request_could_begin():
    b = Box(*ALL, a_job("off", enabled=False))
    assert b.slots.claimable() == ["skip", "queue", "cancel", "allow", "off"]
    await b.submit(*(scheduled(job) for job in ALL))
    assert b.slots.claimable() == ["cancel", "allow", "off"]


async def test_a_job_with_a_waiting_run_is_not_claimable():
    b = box(concurrency=1)
    await b.submit(scheduled(SKIP), scheduled(ALLOW))
    assert b.slots.claimable() == ["queue", "cancel"]


async def test_running_names_runs_and_those_that_wait():
    b, run, request = box(), scheduled(QUEUE), requested(QUEUE)
    await b.submit(run, request)
    active, waiting = b.slots.running()
    assert (active.run_id, active.request_id, active.started_at) == (run.id, None, b.clock.now())
    assert (waiting.request_id, waiting.claims, waiting.started_at) == (request.request.id, 1, None)


async def test_a_run_handed_over_twice_runs_once():
    b, run = box(), scheduled(ALLOW)
    claimed = requested(ALLOW)
    again = a_run(ALLOW, request=claimed.request)
    await b.submit(run, run, claimed, again)
    assert (b.of(run), b.of(claimed), b.of(again)) == (["began"], ["began"], [])


async def test_wait_change_returns_when_a_run_begins_and_when_one_ends():
    b, run = box(), scheduled(SKIP)
    for change in (b.submit, b.end):
        waiting = asyncio.create_task(b.slots.wait_change())
        await settle()
        assert not waiting.done()
        await change(run)
        assert waiting.done()


# ── cancellation ────────────────────────────────────────────────────────────


async def test_the_run_of_a_request_is_cancelled():
    b, run = box(), requested(SKIP)
    await b.submit(scheduled(QUEUE), run)
    assert b.slots.cancel_request(run.request.id, Reason.CANCELLED)
    await settle()
    assert b.of(run) == ["began", "cancelled"]
    assert not b.slots.cancel_request(run.request.id, Reason.CANCELLED)


async def test_a_waiting_request_ends_without_having_begun():
    b, running, run = box(), scheduled(SKIP), requested(SKIP)
    await b.submit(running, run)
    assert b.slots.cancel_request(run.request.id, Reason.CANCELLED)
    await settle()
    assert b.of(run) == ["never began: cancelled"]
    await b.end(running)
    assert b.of(run) == ["never began: cancelled"]


# ── faults and reloads ──────────────────────────────────────────────────────


async def test_a_fault_in_one_run_ends_that_run_alone():
    b, bad, good, after = box(), scheduled(QUEUE), scheduled(SKIP), scheduled(QUEUE)
    await b.submit(bad, good, after)
    with structlog.testing.capture_logs() as logs:
        await b.end(bad, RuntimeError("a bug"))
    assert b.of(bad)[-1] == "broken: A fault inside the agent, see its log: RuntimeError('a bug')"
    assert (b.of(good), b.of(after)) == (["began"], ["began"])
    assert "a run failed inside the agent" in [each["event"] for each in logs]


async def test_a_fault_while_recording_is_loud_and_nothing_more():
    b, first, second = box(), scheduled(SKIP), scheduled(SKIP)
    b.execution.fails_to_record = True
    with structlog.testing.capture_logs() as logs:
        await b.submit(first, second)
    assert [each["task"] for each in logs if each["log_level"] == "error"] == ["skip skip"]
    await b.end(first)
    assert b.of(first) == ["began", "ended"]


async def test_a_reload_lets_running_jobs_finish():
    b, run = box(), scheduled(SKIP)
    await b.submit(run)
    b.jobs.change("skip", timeout_s=1.0)
    b.jobs.replace()
    await b.end(run)
    assert b.of(run) == ["began", "ended"]


@pytest.mark.parametrize("make", [scheduled, requested])
async def test_a_waiting_run_of_a_job_that_is_gone_is_rejected(make):
    b, first, second = box(), scheduled(QUEUE), make(QUEUE)
    await b.submit(first, second)
    b.jobs.replace(SKIP)
    await b.end(first)
    assert b.of(second) == ['rejected: Job "queue" is no longer in the YAML.']


async def test_a_waiting_run_begins_as_its_job_is_by_then():
    b, first, second = box(), scheduled(QUEUE), requested(QUEUE)
    await b.submit(first, second)
    b.jobs.change("queue", timeout_s=1.0)
    await b.end(first)
    assert [run.job.timeout_s for what, run in b.execution.log if what == "began"] == [QUEUE.timeout_s, 1.0]


# ── the end ─────────────────────────────────────────────────────────────────


async def test_draining_lets_runs_finish_and_begins_no_others():
    b, run, waiting, late = box(), scheduled(QUEUE), scheduled(QUEUE), scheduled(SKIP)
    await b.submit(run, waiting)
    assert not b.slots.draining
    draining = asyncio.create_task(b.slots.drain(60))
    await settle()
    assert b.slots.draining
    await b.submit(late)
    assert (b.slots.free, list(b.slots.claimable())) == (0, [])
    assert [each.run_id for each in b.slots.running()] == [run.id]
    await b.clock.advance(59)
    assert not draining.done()
    await b.end(run)
    assert await draining is True
    assert (b.of(waiting), b.of(late)) == ([], [])


async def test_after_the_drain_timeout_everything_is_cancelled():
    b, run = box(), scheduled(SKIP)
    await b.submit(run)
    draining = asyncio.create_task(b.slots.drain(60))
    await b.clock.advance(60)
    assert await draining is False
    idle = asyncio.create_task(b.slots.wait_idle())
    await settle()
    assert not idle.done()
    b.slots.cancel_all(Reason.SHUTDOWN)
    await idle
    assert b.of(run) == ["began", "cancelled"]


async def test_what_waits_does_not_begin_when_everything_is_to_end_before_the_drain_began():
    b, run, waiting = box(), scheduled(QUEUE), requested(QUEUE)
    await b.submit(run, waiting)
    b.slots.cancel_all(Reason.SHUTDOWN)
    await b.slots.wait_idle()
    assert (b.of(run), b.of(waiting)) == (["began", "cancelled"], [])


async def test_draining_an_idle_agent_takes_no_time():
    b = box()
    assert await b.slots.drain(60) is True
    await b.slots.wait_idle()


async def test_when_the_loop_ends_nothing_more_begins():
    b, run, waiting = box(), scheduled(QUEUE), scheduled(QUEUE)
    await b.submit(run, waiting)
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == f"run queue {run.id}"]
    task.cancel()
    await settle()
    assert b.of(waiting) == []


# ── what may be claimed ahead ────────────────────────────────────────────────


async def after_runs_of(house: Box, job: Job, seconds: float) -> None:
    run = requested(job)
    await house.submit(run)
    await house.clock.advance(seconds)
    await house.end(run)


async def test_as_many_may_be_claimed_ahead_as_begin_in_a_moment() -> None:
    house = box(concurrency=2)
    await after_runs_of(house, ALLOW, 0.1)
    assert house.slots.ahead()[0] == 0  # nothing runs that could make room
    await house.submit(*(requested(ALLOW) for _ in range(2)))
    assert house.slots.ahead() == (10, ["allow"])  # two slots, a tenth of a second each, half a second
    await house.submit(*(requested(ALLOW) for _ in range(4)))
    assert house.slots.ahead() == (6, ["allow"])
    await house.submit(*(requested(ALLOW) for _ in range(2)))
    assert house.slots.ahead()[0] == 0  # not for one or two
    await house.slots.drain(0)
    assert house.slots.ahead() == (0, ())


async def test_nothing_is_claimed_ahead_of_slow_runs_nor_of_jobs_that_wait_for_themselves() -> None:
    house = box(concurrency=1)
    for job in ALL:
        await after_runs_of(house, job, 0.1)
    await after_runs_of(house, ALLOW, 5)
    await house.submit(requested(QUEUE))
    assert house.slots.ahead()[1] == []
    house = box(concurrency=1)
    await after_runs_of(house, ALLOW, 1)
    await house.submit(requested(ALLOW))
    assert house.slots.ahead()[0] == 0


async def test_a_job_that_has_been_slow_is_quick_again_after_some_quick_runs() -> None:
    house = box(concurrency=1)
    await after_runs_of(house, ALLOW, 2)
    for _ in range(20):
        await after_runs_of(house, ALLOW, 0.01)
    await house.submit(requested(ALLOW))
    assert house.slots.ahead()[1] == ["allow"]


# ── the end waits for the disk ──────────────────────────────────────────────


async def test_the_next_begins_while_an_end_is_being_recorded_but_not_of_a_job_that_runs_alone():
    b, first, next_, alone = box(1), scheduled(QUEUE), scheduled(ALLOW), scheduled(QUEUE)
    await b.submit(first, alone, next_)
    assert (b.of(alone), b.of(next_)) == ([], [])
    b.execution.over(first)
    await settle()
    assert (b.of(alone), b.of(next_)) == ([], ["began"])
    assert len(b.slots.running()) == 3
    await b.end(first)
    await b.end(next_)
    assert b.of(alone) == ["began"]


async def test_ends_that_cannot_be_recorded_hold_up_what_comes():
    b, runs = box(2), [requested(ALLOW) for _ in range(6)]
    await b.submit(*runs)
    for run in runs[:4]:
        assert b.of(run) == ["began"]
        b.execution.over(run)
        b.execution.over(run)
        await settle()
    assert [b.of(run) for run in runs[4:]] == [[], []]
    assert b.slots.free == 0
    await b.end(runs[0])
    assert [b.of(run) for run in runs[4:]] == [["began"], []]
    for run in runs[1:]:
        await b.end(run)
    assert (b.slots.running(), b.slots.free) == ([], 2)


async def test_nothing_begins_in_place_of_what_is_over_while_draining():
    b, first, second = box(1), scheduled(ALLOW), scheduled(ALLOW)
    await b.submit(first, second)
    drained = asyncio.create_task(b.slots.drain(60))
    await settle()
    b.execution.over(first)
    await b.end(first)
    assert await drained
    assert b.of(second) == []
