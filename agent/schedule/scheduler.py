"""The schedule's loop: due slots become runs, each decided exactly once. It never waits for the network.

Every decision is committed (cursor, planned runs, missed slots, in one transaction) before a run is handed over. What
a crash leaves is a planned run that has not begun; the next start finds it and decides it as a slot that was missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import structlog

from agent.errors import StateError
from agent.model import Job, Overlap, PlannedRun, Reason, Run, RunStatus, ScheduleKind, Trigger
from agent.ports import Clock, Jobs, Jumps, PauseState, Runner, SlotJournal, Turns
from agent.schedule.decisions import (
    Decision,
    Moment,
    decide_gone,
    decide_retry,
    decide_slots,
    decide_stop,
    missed,
    must_be_won,
)
from agent.schedule.jitter import Spread
from agent.schedule.plans import Plans
from agent.schedule.timeline import Timeline
from agent.schedule.timetable import next_run_at

__all__ = ["Scheduler", "next_run_at"]

log = structlog.get_logger()

LONGEST_SLEEP_S = 10.0
"""So soon it is noticed that a pause ended or the disk has room again."""
_MEANT = (Reason.PAUSED, Reason.REJECTED, Reason.NEEDS_REAUTH)
"""A person wanted it so, or is waited for: no slots of an outage."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What the schedule talks to."""

    jumps: Jumps
    runner: Runner
    pause: PauseState
    turns: Turns
    waits: Callable[[Job], bool] = lambda _: False
    """Whether the job waits for somebody to sign in to its connection (`ConnectionHolds.held`)."""
    missed: Callable[[int], None] = lambda _: None
    """Hears how many slots were missed each time, but for those that a person wanted so."""


class Scheduler:
    """Decides slots, catch-ups and retries of scheduled runs, and hands runs over when they are due."""

    def __init__(self, *, clock: Clock, jobs: Jobs, journal: SlotJournal, stages: Stages, spread: Spread) -> None:
        self._clock = clock
        self._jumps = stages.jumps
        self._jobs = jobs
        self._journal = journal
        self._runner = stages.runner
        self._pause = stages.pause
        self._turns = stages.turns
        self._waits = stages.waits
        self._missed = stages.missed
        self._spread = spread
        self._timeline = Timeline(journal, clock)
        self._plans = Plans(journal, clock)
        self._started = False
        self._cause = Reason.AGENT_DOWN
        self._jumped = False
        self._offline_at: datetime | None = None
        self._blocked = False
        """Whether something due waits for `turns` to open."""
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """Look again at once: a pause may be over, or somebody has signed in."""
        self._kicked.set()

    def on_jump(self, ahead_s: float) -> None:
        """The wall clock ran ahead of the monotonic one (the machine was asleep), or was set back: look at once."""
        self._jumped = True
        if ahead_s > 0:
            self._cause = Reason.ASLEEP
        else:
            self._timeline.say_waiting(self._clock.now())
        self.kick()

    def learn(self, retry: PlannedRun) -> None:
        """A retry was planned: it is in the journal."""
        self._plans.learn(retry)
        self.kick()

    def take_back(self, run: Run) -> None:
        """The runner could not begin this run and has it no more. It may have been won: its id goes on with it."""
        assert run.scheduled_for is not None  # noqa: S101 - only slots are handed back
        late = run.trigger is Trigger.CATCH_UP
        plan = PlannedRun(
            run_id=run.id,
            job_id=run.job.id,
            trigger=run.trigger,
            scheduled_for=run.scheduled_for,
            due_at=run.scheduled_for if late else self._spread.due_at(run.job, run.scheduled_for),
            cause=run.cause,
        )
        self._plans.take_back(plan)
        self._offline_at = self._clock.now()
        self.kick()

    async def hand_back(self) -> None:
        """The agent stops: no slot stays won that did not begin. For after the end of `run`, when nothing runs."""
        moment, decision = self._look_at_the_clock(), Decision()
        try:
            for run in await self._journal.planned():
                job = self._timeline.jobs.get(run.job_id)
                won = job is None or must_be_won(job, run)
                if won and run.run_id in self._plans.asked and run.due_at <= moment.now:
                    decision.add(decide_stop(job, run, moment))
            if not decision.empty:
                await self._commit(decision)
        except StateError as err:
            log.warning("slots that may have been won are handed back by the next start", error=str(err))

    async def run(self) -> None:
        """Until cancelled. A journal that fails is waited for: undecided slots are decided when it works again."""
        while True:
            self._kicked.clear()
            await self._wait(await self._guarded_turn())

    async def _guarded_turn(self) -> float:
        try:
            return await self._turn()
        except StateError as err:
            why = str(err)
        self._plans.doubt()
        log.error("the schedule waits: its journal cannot be used; is the disk full?", error=why)
        return LONGEST_SLEEP_S

    async def _turn(self) -> float:
        """Decide and hand over everything that is due; return the seconds until there is more."""
        moment = self._look_at_the_clock()
        revision = self._timeline.revision
        await self._timeline.take_over(self._jobs, moment.now)
        reread = await self._plans.refresh()
        decision = await self._decide(moment, everything=reread or revision != self._timeline.revision)
        if not decision.empty:
            await self._commit(decision)
        self._hand_over_due(moment)
        if not self._started:
            self._hand_over_startup(moment)
        self._started = True
        if not self._jumped:  # else meanwhile: the next turn decides by it
            self._cause = Reason.BUSY
        await self._timeline.look_ahead()
        return self._seconds_left()

    def _look_at_the_clock(self) -> Moment:
        self._jumps.look()
        self._jumped = False
        now, offline = self._clock.now(), not self._turns.open
        if offline:
            self._offline_at = now
        return Moment(
            now=now,
            cause=self._cause,
            paused=self._pause.paused("schedule"),
            offline=offline,
            offline_at=self._offline_at,
            waits=self._waits,
            spread=self._spread,
        )

    # ── deciding ────────────────────────────────────────────────────────────

    async def _decide(self, moment: Moment, *, everything: bool) -> Decision:
        """`everything`: weigh also the plans whose instant is still to come, for their job may be another one."""
        decision = Decision(cursors=dict(self._timeline.unsaved))
        job_ids = dict.fromkeys(self._timeline.due(moment.now))
        first_attempts: dict[str, list[PlannedRun]] = {}
        for run in self._plans.held:
            job = self._timeline.jobs.get(run.job_id)
            if job is None or (run.trigger is Trigger.STARTUP and not self._started):
                decision.add(_told(decide_gone(job, run, moment)))
            elif run.attempt > 1:
                decision.add(_told(decide_retry(job, run, moment)))
            else:
                first_attempts.setdefault(run.job_id, []).append(run)
                if everything or run.due_at <= moment.now:
                    job_ids[run.job_id] = None
        for job_id in job_ids:
            slots = self._timeline.slots(job_id, moment.now)
            decision.add(self._decide_job(self._timeline.jobs[job_id], slots, first_attempts.get(job_id, ()), moment))
            if len(slots) > 1:
                await self._clock.sleep(0)  # a thousand slots of a job take a while: others go on
        if not self._started:
            stopped = [job for job in self._startup_jobs() if moment.stopped(job)]
            decision.reports += [missed(job, None, moment.why_late(job, moment.now)) for job in stopped]
        decision.released = [report for report in decision.released if report.run_id in self._plans.asked]
        return decision

    def _decide_job(self, job: Job, slots: Sequence[datetime], held: Sequence[PlannedRun], moment: Moment) -> Decision:
        decision = decide_slots(job, slots, held, moment)
        if slots:
            decision.cursors[job.id] = slots[-1]
        if decision.reports:
            say = log.info if moment.stopped(job) else log.warning
            say(
                "slots missed",
                job=job.id,
                slots=len(decision.reports),
                cause=decision.reports[-1].reason,
                catch_ups=sum(run.trigger is Trigger.CATCH_UP for run in decision.planned),
            )
        return decision

    async def _commit(self, decision: Decision) -> None:
        left_out = await self._journal.decide(
            cursors=decision.cursors,
            planned=decision.planned,
            reports=decision.reports,
            dropped=[run.run_id for run in decision.dropped],
            released=decision.released,
        )
        self._plans.drop(decision.dropped)
        self._plans.add(run for run in decision.planned if run.run_id not in left_out)
        self._timeline.advance(decision.cursors)
        self._missed(sum(each.status is RunStatus.MISSED and each.reason not in _MEANT for each in decision.reports))

    # ── handing over ────────────────────────────────────────────────────────

    def _hand_over_due(self, moment: Moment) -> None:
        due = [run for run in self._plans.held if run.due_at <= moment.now]
        self._blocked = False
        for run in sorted(due, key=lambda run: (self._after_those_on_time(run), run.due_at)):
            job = self._timeline.jobs.get(run.job_id)
            if job is None or moment.held(job, run):
                self._blocked |= moment.offline
            else:
                self._plans.hand_over(run)
                self._submit(job, run)

    def _after_those_on_time(self, run: PlannedRun) -> bool:
        """Runs go by their instant, but under `overlap: skip` a slot on time goes first, or its catch-ups skip it."""
        job = self._timeline.jobs.get(run.job_id)
        return not (job and job.overlap is Overlap.SKIP and run.trigger is Trigger.SCHEDULE)

    def _hand_over_startup(self, moment: Moment) -> None:
        """Once per start of the process. Not planned: after a crash the next start has its own."""
        for job in (each for each in self._startup_jobs() if not moment.stopped(each)):
            self._submit(job, PlannedRun(run_id=uuid4(), job_id=job.id, trigger=Trigger.STARTUP, due_at=moment.now))

    def _startup_jobs(self) -> Sequence[Job]:
        jobs = self._timeline.jobs.values()
        return [job for job in jobs if job.enabled and job.schedule and job.schedule.kind is ScheduleKind.STARTUP]

    def _submit(self, job: Job, run: PlannedRun) -> None:
        log.info("run due", job=job.id, run=str(run.run_id), trigger=run.trigger, attempt=run.attempt)
        self._runner.submit(
            Run(
                id=run.run_id,
                job=job,
                trigger=run.trigger,
                attempt=run.attempt,
                max_attempts=job.retry.max_attempts,
                scheduled_for=run.scheduled_for,
                cause=run.cause,
            )
        )

    # ── waiting ─────────────────────────────────────────────────────────────

    def _seconds_left(self) -> float:
        now = self._clock.now()
        instants = [run.due_at for run in self._plans.held if run.due_at > now]
        if (slot := self._timeline.first_due()) is not None:
            instants.append(slot)
        seconds = (min(instants) - now).total_seconds() if instants else LONGEST_SLEEP_S
        return min(max(seconds, 0.0), LONGEST_SLEEP_S)

    async def _wait(self, seconds: float) -> None:
        """Until then, a kick, another configuration, or until the others can be asked."""
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._clock.sleep(seconds), name="next slot"),
            asyncio.create_task(self._kicked.wait(), name="kick"),
        ]
        if self._timeline.revision is not None:
            changed = self._jobs.wait_changed(self._timeline.revision)
            waits.append(asyncio.create_task(changed, name="another configuration"))
        if self._blocked:
            waits.append(asyncio.create_task(self._turns.wait_open(), name="whose turn it is"))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in done:
                wait.result()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _told(given_up: Decision) -> Decision:
    """Planned runs that will not be."""
    for report in given_up.reports:
        log.warning("planned run given up", job=report.job_id, run=str(report.run_id), why=report.error)
    return given_up
