"""What becomes of slots and of planned runs that have not begun: run, catch up, miss, forget. Pure.

A slot that comes within a minute runs as scheduled. Every other one is recorded as missed, with its cause, and the
job's `catch_up` says which of those run nevertheless. A catch-up that waits (the schedule is paused) is weighed anew
whenever more slots are missed: `last` means the last one at the moment it can run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from agent.model import CatchUp, Job, PlannedRun, Reason, Report, RunStatus, Trigger

TOLERANCE = timedelta(seconds=60)
"""A slot that is later than this was missed."""

_SENTENCES = {
    Reason.AGENT_DOWN: "Missed: the agent was not running at this time.",
    Reason.ASLEEP: "Missed: the machine was asleep at this time.",
    Reason.BUSY: "Missed: the agent came too late for this time.",
    Reason.PAUSED: "Missed: the schedule was paused at this time.",
    Reason.REJECTED: "Not tried again: the job was disabled, or lost its schedule, in the meantime.",
}
_AWAY = (Reason.AGENT_DOWN, Reason.ASLEEP)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The circumstances of a decision."""

    now: datetime
    cause: Reason
    """Why something that is late at this moment is late."""
    paused: bool = False

    def late(self, since: datetime) -> bool:
        """Whether what was due then is late."""
        return self.now - since > TOLERANCE

    def why_missed(self, slot: datetime) -> Reason:
        """A pause is the cause only where the agent was there to run the slot."""
        if self.paused and not (self.cause in _AWAY and self.late(slot)):
            return Reason.PAUSED
        return self.cause


@dataclass(kw_only=True)
class Decision:
    """What to commit in one transaction (`SlotJournal.decide`)."""

    cursors: dict[str, datetime] = field(default_factory=dict)
    planned: list[PlannedRun] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    dropped: list[PlannedRun] = field(default_factory=list)

    def add(self, other: Decision) -> None:
        """Take the other one in."""
        self.cursors |= other.cursors
        self.planned += other.planned
        self.reports += other.reports
        self.dropped += other.dropped

    @property
    def empty(self) -> bool:
        """Nothing to commit."""
        return not (self.cursors or self.planned or self.reports or self.dropped)


def runs_by_itself(job: Job) -> bool:
    """Whether a schedule may start the job."""
    return job.enabled and job.schedule is not None


def decide_slots(job: Job, slots: Sequence[datetime], held: Iterable[PlannedRun], moment: Moment) -> Decision:
    """Decide the job's due slots together with its first attempts that are planned and were not handed over.

    `slots`: those due since the cursor, oldest first. `held`: plans of a previous life, and catch-ups that a pause
    holds back. Of the due slots only the newest can be on time.
    """
    plans = {run.scheduled_for: run for run in held if run.scheduled_for is not None}
    catch_ups = {slot: run for slot, run in plans.items() if run.trigger is Trigger.CATCH_UP}
    unbegun = {slot: run for slot, run in plans.items() if run.trigger is not Trigger.CATCH_UP}
    if not runs_by_itself(job):
        reports = [missed(job, slot, moment.why_missed(slot)) for slot in sorted(unbegun)]
        return Decision(reports=reports, dropped=list(plans.values()))
    due = sorted({*slots, *unbegun} - catch_ups.keys())
    on_time = due.pop() if due and not moment.paused and not moment.late(due[-1]) else None
    chosen = [] if on_time and job.catch_up is CatchUp.LAST else _chosen(job, [*due, *catch_ups], moment.now)
    fresh = [_plan(job, on_time, Trigger.SCHEDULE)] if on_time and on_time not in unbegun else []
    late = [_plan(job, at, Trigger.CATCH_UP, moment.why_missed(at)) for at in chosen if at not in catch_ups]
    return Decision(
        planned=fresh + late,
        reports=[missed(job, slot, moment.why_missed(slot)) for slot in due],
        dropped=_of(unbegun, due) + _of(catch_ups, catch_ups.keys() - set(chosen)),
    )


def decide_retry(job: Job, run: PlannedRun, moment: Moment) -> Decision:
    """Give up a planned retry whose job may not run any more, or which is overdue by more than `catch_up_window`."""
    if run.due_at > moment.now:
        return Decision()
    if not runs_by_itself(job):
        return Decision(reports=[_given_up(run, Reason.REJECTED)], dropped=[run])
    window = max(timedelta(seconds=job.catch_up_window_s), TOLERANCE)
    if moment.now - run.due_at > window:
        return Decision(reports=[_given_up(run, moment.why_missed(run.due_at))], dropped=[run])
    return Decision()


def missed(job: Job, slot: datetime | None, cause: Reason, trigger: Trigger = Trigger.SCHEDULE) -> Report:
    """The record of a slot (None: of a start) at which the job did not run."""
    return Report(
        run_id=uuid4(),
        job_id=job.id,
        trigger=trigger,
        status=RunStatus.MISSED,
        reason=cause,
        scheduled_for=slot,
        error=_SENTENCES[cause],
    )


def _chosen(job: Job, slots: Iterable[datetime], now: datetime) -> list[datetime]:
    """Which missed slots the job's policy runs after all, oldest first."""
    window = timedelta(seconds=job.catch_up_window_s)
    recent = sorted(slot for slot in slots if now - slot <= window)
    match job.catch_up:
        case CatchUp.NONE:
            return []
        case CatchUp.LAST:
            return recent[-1:]
        case CatchUp.ALL:
            return recent


def _plan(job: Job, slot: datetime, trigger: Trigger, cause: Reason | None = None) -> PlannedRun:
    return PlannedRun(run_id=uuid4(), job_id=job.id, trigger=trigger, scheduled_for=slot, due_at=slot, cause=cause)


def _of(plans: Mapping[datetime, PlannedRun], slots: Iterable[datetime]) -> list[PlannedRun]:
    return [plans[slot] for slot in slots if slot in plans]


def _given_up(run: PlannedRun, reason: Reason) -> Report:
    return Report(
        run_id=run.run_id,
        job_id=run.job_id,
        trigger=run.trigger,
        status=RunStatus.MISSED,
        attempt=run.attempt,
        reason=reason,
        scheduled_for=run.scheduled_for,
        error=_SENTENCES[reason],
    )
