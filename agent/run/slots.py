"""Which runs execute now, which wait, and which are skipped.

A run is admitted once and ends once. Waiting runs are in memory only: until it begins, a scheduled run stays planned
in the journal and a request unbegun in the database (a beat hands it back), so that dropping them at the end of the
process loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import structlog

from agent.model import Outcome, Overlap, Reason, Run, RunningRun
from agent.ports import CancelFlag, Clock, Jobs, Runner
from agent.run.lanes import Entry, Lane, Lanes
from agent.run.tempo import Tempo

WAITING_LIMIT = 5_000
"""Runs that may wait: more than three days of every-minute catch-ups. Beyond it all but requests skip as `busy`."""
_NO_LIMITS: Mapping[str, int] = {}

log = structlog.get_logger()


class Execution(Protocol):
    """What slots need of an executor (run/executor.py): each returns after its report is committed."""

    async def execute(self, run: Run, cancel: CancelFlag, over: Callable[[], None]) -> Outcome | None:
        """Run to the end; None: it could not begin now, and nothing has happened.

        `over` is called when the command has ended, before that is committed.
        """
        ...

    async def reject(self, run: Run, message: str) -> Outcome:
        """Refuse it."""
        ...

    async def skip(self, run: Run, reason: Reason, message: str) -> Outcome:
        """Its turn passed."""
        ...

    async def cancelled(self, run: Run, reason: str) -> Outcome:
        """It was told to end before it began."""
        ...

    async def broken(self, run: Run, began: datetime, why: str) -> Outcome:
        """It ended in a fault of ours."""
        ...


class Slots(Runner):
    """Concurrency (of all runs, per job, per tag) and every job's overlap rule.

    - `skip`: a scheduled run is skipped while another of its job runs or waits.
    - `queue`: it waits; a newer scheduled run takes the place of one that still waits (skipped as `overlap`).
    - `cancel_previous`: what runs is cancelled, this one begins when that has ended.
    - `allow`: it begins at once; where there is no room it waits like `queue`.

    Who waits keeps its place and holds up nobody whom another limit lets begin. Requests, and catch-ups (their policy
    has decided already), are never skipped: they wait for their job, in order.
    """

    def __init__(
        self,
        *,
        execution: Execution,
        clock: Clock,
        jobs: Jobs,
        concurrency: int,
        tags: Mapping[str, int] = _NO_LIMITS,
        give_back: Callable[[Run], None] = lambda _: None,
    ) -> None:
        """`give_back` takes a run that could not begin, once it is here no more."""
        self._execution = execution
        self._clock = clock
        self._jobs = jobs
        self._give_back = give_back
        self._lanes = Lanes(jobs, concurrency=concurrency, tags=tags)
        self._tempo = Tempo()
        self._requests: dict[UUID, list[Entry]] = {}
        """By request: more than one only where a lost claim still runs and was claimed again."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._changed = asyncio.Event()

    # ── the port ────────────────────────────────────────────────────────────

    @property
    def free(self) -> int:
        """How many more runs could start now; 0 while draining."""
        return 0 if self._draining else self._lanes.free

    def claimable(self) -> Sequence[str]:
        """Jobs of which a request could begin as soon as a run may, disabled ones too (their requests are rejected)."""
        if self._draining:
            return ()
        return [job.id for job in self._jobs.all() if self._lanes.has_room(job)]

    def ahead(self) -> tuple[int, Sequence[str]]:
        """How many more requests, of which jobs, would begin in a moment: jobs that nothing but concurrency holds up.

        Zero until half of those that were claimed ahead have begun: a claim for each would cost more than the run.
        """
        waiting = len(self._lanes.waiting)
        beginning = self._tempo.beginning(entry.run.job.id for entry in self._lanes.active.values())
        if self._draining or 2 * waiting > beginning:
            return 0, ()
        jobs = [job for job_id in self._tempo.quick() if (job := self._jobs.get(job_id)) is not None]
        return beginning - waiting, [job.id for job in jobs if self._lanes.unlimited(job)]

    def submit(self, run: Run) -> None:
        """Admit the run; one that is here already, or comes while draining, is left where it came from."""
        if self._draining or self._knows(run):
            log.info("run left alone", job=run.job.id, run=str(run.id), draining=self._draining)
            return
        entry = Entry(run=run)
        lane = self._lanes.lane(run.job.id)
        if not self._admits(entry, lane):
            return
        if lane is not None and run.job.overlap is Overlap.CANCEL_PREVIOUS:
            for other in lane.active.values():
                other.cancel.set(Reason.OVERLAP)
        self._lanes.wait(entry)
        if run.request:
            self._requests.setdefault(run.request.id, []).append(entry)
        self._start_what_may()

    def cancel_request(self, request_id: UUID, reason: str) -> bool:
        """Cancel the run of this request; one that has not begun ends at once. False when there is none."""
        entry = next(iter(self._requests.get(request_id, ())), None)
        if entry is None:
            return False
        if entry.started_at:
            entry.cancel.set(reason)
        else:
            self._leave(entry)
            self._spawn(self._execution.cancelled(entry.run, reason), f"cancel {entry.run.job.id}")
            self._tell()
        return True

    def running(self) -> Sequence[RunningRun]:
        """Everything admitted and not ended, waiting runs included."""
        return [
            RunningRun(
                run_id=entry.run.id,
                job_id=entry.run.job.id,
                request_id=entry.run.request.id if entry.run.request else None,
                claims=entry.run.request.claims if entry.run.request else None,
                started_at=entry.started_at,
            )
            for entry in [*self._lanes.active.values(), *self._lanes.waiting.values()]
        ]

    async def wait_change(self) -> None:
        """Return when a run has begun or ended since the call."""
        await self._changed.wait()

    # ── the end, and reload ─────────────────────────────────────────────────

    def resize(self, concurrency: int, tags: Mapping[str, int] = _NO_LIMITS) -> None:
        """Other limits, and other rules of the jobs, after a reload; what runs goes on."""
        self._lanes.limit(concurrency=concurrency, tags=tags)
        self._start_what_may()

    @property
    def draining(self) -> bool:
        """Whether nothing begins any more."""
        return self._draining

    async def drain(self, timeout_s: float) -> bool:
        """Admit and begin nothing more, let what runs finish; False when something still runs after `timeout_s`."""
        self._draining = True
        if waiting := list(self._lanes.waiting.values()):
            log.info("waiting runs are left unbegun", runs=len(waiting))
            for entry in waiting:
                self._leave(entry)
            self._tell()
        idle = asyncio.create_task(self.wait_idle(), name="drain")
        limit = asyncio.create_task(self._clock.sleep(timeout_s), name="drain timeout")
        try:
            await asyncio.wait({idle, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            limit.cancel()
        return not self._tasks

    def cancel_all(self, reason: str) -> None:
        """Begin nothing more, end everything that runs (TERM → grace → KILL). `wait_idle`: until it is committed."""
        self._draining = True
        for entry in self._lanes.active.values():
            entry.cancel.set(reason)

    async def wait_idle(self) -> None:
        """Return when nothing runs and every end is committed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ── admission ───────────────────────────────────────────────────────────

    def _knows(self, run: Run) -> bool:
        """A planned run may be handed over twice, and so may a claim."""
        if run.id in self._lanes.active or run.id in self._lanes.waiting:
            return True
        claim = _claim(run)
        return claim is not None and any(_claim(entry.run) == claim for entry in self._requests.get(claim[0], ()))

    def _admits(self, entry: Entry, lane: Lane | None) -> bool:
        """Apply the overlap rule; False when the run is skipped."""
        job = entry.run.job
        if entry.collapses and job.overlap is Overlap.SKIP and lane is not None:
            self._skip(entry, Reason.OVERLAP, "Skipped, because a run of this job was not over (`overlap: skip`).")
            return False
        if not entry.run.request and len(self._lanes.waiting) >= WAITING_LIMIT:
            self._skip(entry, Reason.BUSY, f"Skipped, because {WAITING_LIMIT:,} runs wait; raise `concurrency`.")
            return False
        older = lane.collapsing if lane is not None else None
        if older and (entry.collapses or job.overlap is Overlap.CANCEL_PREVIOUS):
            self._leave(older)
            self._skip(older, Reason.OVERLAP, "Skipped, because the next run of this job was due while it waited.")
        return True

    def _skip(self, entry: Entry, reason: Reason, why: str) -> None:
        self._spawn(self._execution.skip(entry.run, reason, why), f"skip {entry.run.job.id}")

    def _leave(self, entry: Entry) -> None:
        """Out of the line, not begun."""
        self._lanes.leave(entry)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        if request := entry.run.request:
            self._requests[request.id].remove(entry)
            if not self._requests[request.id]:
                del self._requests[request.id]

    # ── execution ───────────────────────────────────────────────────────────

    def _start_what_may(self) -> None:
        """Begin waiting runs, oldest first, each as soon as there is room for it."""
        while (entry := self._lanes.next()) is not None:
            entry.started_at = self._clock.now()
            self._lanes.begin(entry)
            self._spawn(self._execute(entry, entry.started_at), f"run {entry.run.job.id} {entry.run.id}")
            self._tell()

    async def _execute(self, entry: Entry, began: datetime) -> None:
        """One run, guarded: whatever fails in it ends this run alone."""
        run, timer, begun = entry.run, self._clock.monotonic(), True
        try:
            if (job := self._jobs.get(run.job.id)) is None:
                await self._execution.reject(run, f'Job "{run.job.id}" is no longer in the YAML.')
            else:  # as the job is now: it may have been changed, or disabled, while the run waited
                due = run if job == run.job else replace(run, job=job)
                begun = await self._execution.execute(due, entry.cancel, lambda: self._over(entry)) is not None
        except asyncio.CancelledError:
            self._draining = True
            raise
        except Exception as err:
            log.exception("a run failed inside the agent", job=run.job.id, run=str(run.id))
            await self._execution.broken(run, began, f"A fault inside the agent, see its log: {err!r}")
        finally:
            if begun:
                self._tempo.ended(run.job.id, self._clock.monotonic() - timer)
            self._lanes.end(entry)
            self._forget(entry)
            self._tell()
            if not begun:
                self._give_back(run)
            if not self._draining:
                self._start_what_may()

    def _over(self, entry: Entry) -> None:
        """The next may begin while the end of this one waits for the disk."""
        self._lanes.over(entry)
        self._tell()
        if not self._draining:
            self._start_what_may()

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(_guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _guarded(work: Coroutine[Any, Any, Any], name: str) -> None:
    """A task of ours that ends in an error is a bug: loud, and the agent goes on."""
    try:
        await work
    except Exception:
        log.exception("a task of a run failed", task=name)


def _claim(run: Run) -> tuple[UUID, int] | None:
    return (run.request.id, run.request.claims) if run.request else None
