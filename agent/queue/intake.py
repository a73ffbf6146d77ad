"""Takes requests off the queue: a wake-up, a beat or a timer says "look", the claim RPC says what is ours.

The sequence number of a claim is on disk before the claim is asked, and asked again until it is answered: rows whose
answer was lost come back with the repetition (SCHEMA, `cron_claim_requests`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog

from agent.errors import CronmirrorError, Refused, StateError
from agent.model import BeatReply, Claimed, Command, HelloReply, Job, Request, Run, Trigger, WakeKind
from agent.pace import backoff, first
from agent.ports import ClaimCall, Clock, Gate, Jobs, Notes, PauseState, RunJournal, Runner, WakeUps

log = structlog.get_logger()

NOTE = "claim_seq"
LEASE_S = 60
AHEAD_S = 1.0
"""So long may claims ahead follow each other before every job is asked for again."""
RETRY_CAP_S = 30.0
_JUST_AFTER_S = 0.02

Reject = Callable[[Run, str], Awaitable[object]]
"""Records a run as refused, with one sentence for people (`Executor.reject`)."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The server's side."""

    claims: ClaimCall
    wakeups: WakeUps
    gate: Gate
    pause: PauseState


@dataclass(frozen=True, kw_only=True)
class Box:
    """This machine's side."""

    runner: Runner
    jobs: Jobs
    journal: RunJournal
    notes: Notes
    reject: Reject


class Intake:
    """The intake loop. `on_hello` and `on_beat` are the heartbeat's listeners."""

    def __init__(
        self, queue: Queue, box: Box, clock: Clock, *, poll_every_s: float, beat_now: Callable[[], None]
    ) -> None:
        self._queue = queue
        self._box = box
        self._clock = clock
        self._poll_every_s = poll_every_s
        self._beat_now = beat_now
        self._want = asyncio.Event()
        self._want.set()
        self._seq = 0
        self._answered = True
        self._left = False
        """More was due than we took, of any job when all were last asked for."""
        self._left_ahead = False
        """The same of the last claim."""
        self._asked: frozenset[str] = frozenset()
        self._asked_all_at = float("-inf")
        self._alarm = asyncio.Event()
        self._due_at: float | None = None
        self._failures = 0

    async def run(self) -> None:
        """Claim for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="intake wake-ups")
            tasks.create_task(self._poll(), name="intake poll")
            tasks.create_task(self._ring(), name="intake alarm")
            tasks.create_task(self._watch_runner(), name="intake slots")
            tasks.create_task(self._claim_for_ever(), name="intake claims")

    def look(self) -> None:
        """Claim now: a job was mirrored whose requests may have waited for that."""
        self._want.set()

    def on_hello(self, reply: HelloReply) -> None:
        """Never ask with a number that the server has already passed (a restored state directory)."""
        if reply.claim_seq > self._seq:
            self._seq = reply.claim_seq
            self._answered = True

    def on_beat(self, reply: BeatReply) -> None:
        """The beat is the poll while Realtime is healthy."""
        if reply.due > 0:
            self._want.set()
        self._set_alarm(reply.server_time, reply.next_due_at)

    # ── reasons to look ─────────────────────────────────────────────────────

    async def _listen(self) -> None:
        while True:
            wakeup = await self._queue.wakeups.next()
            log.debug("woken", kind=wakeup.kind, request=str(wakeup.request_id) if wakeup.request_id else None)
            if wakeup.kind is not WakeKind.QUEUED:  # a cancellation to learn of, or Realtime to be shown as connected
                self._beat_now()
            if wakeup.kind is not WakeKind.CANCEL:
                self._want.set()

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(self._poll_every_s * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load
            if not self._queue.wakeups.healthy:
                self._want.set()

    async def _ring(self) -> None:
        """Look when the next request becomes due. In server time: our clock may be off."""
        while True:
            self._alarm.clear()
            if self._due_at is None:
                await self._alarm.wait()
                continue
            await self._wait_due(self._due_at - self._clock.monotonic())

    async def _wait_due(self, seconds: float) -> None:
        await first(self._clock.sleep(seconds), self._alarm.wait())
        if not self._alarm.is_set():
            self._due_at = None
            self._want.set()

    def _set_alarm(self, server_time: datetime, next_due_at: datetime | None) -> None:
        if next_due_at is None:
            self._due_at = None
        else:
            seconds = max(0.0, (next_due_at - server_time).total_seconds()) + _JUST_AFTER_S
            self._due_at = self._clock.monotonic() + seconds
        self._alarm.set()

    async def _watch_runner(self) -> None:
        """A slot or a job became free, or is about to, and there was more than we could take."""
        while True:
            await self._box.runner.wait_change()
            if not self._want.is_set() and self._worth_a_claim():
                self._want.set()

    def _worth_a_claim(self) -> bool:
        if self._box.runner.free > 0:
            return self._left or self._left_ahead or self._grown()
        return self._left_ahead and self._ahead()[0] > 0

    def _grown(self) -> bool:
        """Whether a job may be claimed that was busy when we last asked."""
        return not self._asked.issuperset(self._box.runner.claimable())

    # ── the claim ───────────────────────────────────────────────────────────

    async def _claim_for_ever(self) -> None:
        while True:
            await self._want.wait()
            await self._queue.gate.wait_claiming()
            self._want.clear()
            if self._queue.pause.paused("claims"):
                continue  # after the pause a beat says that something is due
            try:
                await self._claim()
            except CronmirrorError as error:
                self._want.set()
                await self._rest(error)
            else:
                self._failures = 0

    def _wanted(self) -> tuple[int, Sequence[str], bool]:
        """How many, of which jobs, and whether that is all of them.

        Where a slot is free, every job is asked for; what is claimed ahead comes with it if all of them are quick.
        """
        runner = self._box.runner
        free, job_ids = max(0, runner.free), tuple(runner.claimable())
        ahead, quick = self._ahead()
        if free and job_ids:
            return free + (ahead if set(quick).issuperset(job_ids) else 0), job_ids, True
        return (ahead, quick, False) if ahead else (0, job_ids, True)

    def _ahead(self) -> tuple[int, Sequence[str]]:
        """What may be claimed ahead of a free slot; nothing when others have not been asked for in a while.

        Else a long queue of a quick job would hold every slot for itself.
        """
        limit, job_ids = self._box.runner.ahead()
        alone = set(job_ids).issuperset(self._box.runner.claimable()) if limit else False
        in_time = self._clock.monotonic() - self._asked_all_at < AHEAD_S
        return (limit, job_ids) if job_ids and (alone or in_time) else (0, ())

    async def _claim(self) -> None:
        runner = self._box.runner
        limit, job_ids, of_all = self._wanted()
        if of_all:
            self._asked, self._asked_all_at = frozenset(job_ids), self._clock.monotonic()
        if self._answered and (not limit or not job_ids):
            self._left = True
            return
        if self._answered:
            await self._next_seq()
        claimed = await self._queue.claims.claim(self._seq, job_ids, limit, LEASE_S)
        self._answered = True
        self._left_ahead = claimed.due > 0
        self._left = self._left_ahead or (self._left and not of_all)
        self._set_alarm(claimed.server_time, claimed.next_due_at)
        await self._admit_all(claimed)
        if self._left and len(claimed.requests) >= limit and runner.free > 0:
            self._want.set()

    async def _next_seq(self) -> None:
        seq = max(self._seq, int(await self._box.notes.get(NOTE) or 0)) + 1
        await self._box.notes.put(NOTE, str(seq))
        self._seq, self._answered = seq, False

    async def _admit_all(self, claimed: Claimed) -> None:
        known = await self._known(claimed.requests)
        for request in claimed.requests:
            if (request.id, request.claims) in known:
                log.info("request claimed before; not run twice", request=str(request.id), claims=request.claims)
            else:
                await self._admit(request)

    async def _known(self, requests: Sequence[Request]) -> Collection[tuple[UUID | None, int | None]]:
        """Claims that have a run already. The journal is asked once for all: each question waits for its thread."""
        here = {(run.request_id, run.claims) for run in self._box.runner.running()}
        fresh = [claim for request in requests if (claim := (request.id, request.claims)) not in here]
        try:
            return here | set(await self._box.journal.begun(fresh)) if fresh else here
        except StateError as error:
            # Ours, and not running: dropping them now would lose them. The executor commits a start or starts nothing.
            log.warning("the journal could not be asked about requests", requests=len(fresh), error=str(error))
            return here

    async def _admit(self, request: Request) -> None:
        job = self._box.jobs.get(request.job_id)
        log.debug("request claimed", job=request.job_id, request=str(request.id), attempt=request.attempts)
        if job is None:
            message = f'Job "{request.job_id}" is no longer in the YAML of this agent; add it, or run another job.'
            await self._box.reject(_run(request, _gone(request.job_id)), message)
        else:
            self._box.runner.submit(_run(request, job))

    async def _rest(self, error: CronmirrorError) -> None:
        self._failures += 1
        said = log.debug if self._failures > 1 else log.warning
        said("claim failed; trying again", error=str(error), hint=error.hint)
        if not isinstance(error, StateError | Refused):  # whether the server is there is the heartbeat's to find out
            self._queue.gate.lost()
        wait_s = backoff(self._failures, cap_s=RETRY_CAP_S)
        await first(self._clock.sleep(wait_s), self._queue.gate.wait_recovered())


def _run(request: Request, job: Job) -> Run:
    return Run(
        id=uuid4(),
        job=job,
        trigger=Trigger.REQUEST,
        attempt=request.attempts,
        max_attempts=request.max_attempts,
        request=request,
    )


def _gone(job_id: str) -> Job:
    """Stands for a job that a reload removed between the claim and its answer."""
    return Job(id=job_id, name=job_id, command=Command())
