"""What becomes of slots and of planned runs that have not begun: run, catch up, miss, forget. Pure.

A slot that comes within a minute (of its jittered instant) runs as scheduled. Every other one is recorded as missed,
with its cause, and the job's `catch_up` says which of those run nevertheless. A catch-up that waits (the schedule is
paused, nobody can be asked who runs a shared job, somebody must sign in first) is weighed anew whenever more slots are
missed: `last` means the last one at the moment it can run.

The plan of a shared job may have been asked for under its id, and won: so its id goes on with the slot, or ends in a
report that hands the slot back.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from agent.model import CatchUp, Job, Placement, PlannedRun, Reason, Report, RunStatus, Trigger, WhenOffline
from agent.schedule.jitter import Spread

TOLERANCE = timedelta(seconds=60)
"""A slot that is later than this was missed."""

_SENTENCES = {
    Reason.AGENT_DOWN: "Missed: the agent was not running at this time.",
    Reason.ASLEEP: "Missed: the machine was asleep at this time.",
    Reason.BUSY: "Missed: the agent came too late for this time.",
    Reason.OFFLINE: "Missed: Supabase could not be asked at this time which agent runs it.",
    Reason.PAUSED: "Missed: the schedule was paused at this time.",
    Reason.NEEDS_REAUTH: "Missed: the connection that the job uses needed re-authentication at this time.",
}
_GONE = "the job was taken out of the YAML, or left to other agents, in the meantime."
_OFF = "the job was disabled, or lost its schedule, in the meantime."
_NEW_START = "Not tried again: the agent has started afresh, and so has the job."
_AWAY = (Reason.AGENT_DOWN, Reason.ASLEEP)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The circumstances of a decision."""

    now: datetime
    cause: Reason
    """Why something that is late at this moment is late."""
    paused: bool = False
    offline: bool = False
    """Nobody can be asked now who runs a slot of a shared job."""
    offline_at: datetime | None = None
    """When that was last so."""
    waits: Callable[[Job], bool] = lambda _: False
    """Whether the job waits for somebody to sign in to its connection."""
    spread: Spread = field(default_factory=Spread)

    def stopped(self, job: Job) -> bool:
        """Whether no slot of the job runs now: each is missed as it comes."""
        return self.paused or self.waits(job)

    def late(self, since: datetime) -> bool:
        """Whether what was due then is late."""
        return self.now - since > TOLERANCE

    def held(self, job: Job, run: PlannedRun) -> bool:
        """Whether this run, were it due, could not begin now: by a pause, or because it must be asked for first."""
        return self.stopped(job) or (self.offline and must_be_won(job, run))

    def why_late(self, job: Job | None, due_at: datetime) -> Reason:
        """A pause, or a sign-in that is waited for, is the cause only where the agent was there to run it."""
        if self._away(due_at):
            return self.cause
        if self.paused:
            return Reason.PAUSED
        return Reason.NEEDS_REAUTH if job is not None and self.waits(job) else self.cause

    def why_missed(self, job: Job, slot: datetime) -> Reason:
        """And so is being cut off, of a job that needs to be won."""
        due_at = self.spread.due_at(job, slot)
        cut_off = self.offline_at is not None and self.offline_at >= due_at
        if cut_off and waits_for_the_others(job) and not self.stopped(job) and not self._away(due_at):
            return Reason.OFFLINE
        return self.why_late(job, due_at)

    def _away(self, due_at: datetime) -> bool:
        return self.cause in _AWAY and self.late(due_at)


@dataclass(kw_only=True)
class Decision:
    """What to commit in one transaction (`SlotJournal.decide`)."""

    cursors: dict[str, datetime] = field(default_factory=dict)
    planned: list[PlannedRun] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    dropped: list[PlannedRun] = field(default_factory=list)
    released: list[Report] = field(default_factory=list)
    """Hand slots back that may have been won; no news for the history."""

    def add(self, other: Decision) -> None:
        """Take the other one in."""
        self.cursors |= other.cursors
        self.planned += other.planned
        self.reports += other.reports
        self.dropped += other.dropped
        self.released += other.released

    @property
    def empty(self) -> bool:
        """Nothing to commit."""
        return not (self.cursors or self.planned or self.reports or self.dropped)


def runs_by_itself(job: Job) -> bool:
    """Whether a schedule may start the job."""
    return job.enabled and job.schedule is not None


def waits_for_the_others(job: Job) -> bool:
    """Whether the job's slots need Supabase: it is shared, and its slots must run exactly once."""
    return job.placement is Placement.ANY and job.when_offline is WhenOffline.MISS


def must_be_won(job: Job, run: PlannedRun) -> bool:
    """Whether the run has to be asked for. A retry stays on its agent, and a start is nobody else's."""
    return run.attempt == 1 and run.scheduled_for is not None and waits_for_the_others(job)


def decide_slots(job: Job, slots: Sequence[datetime], held: Iterable[PlannedRun], moment: Moment) -> Decision:
    """Decide the job's due slots together with its first attempts that are planned and were not handed over.

    `slots`: those reached since the cursor, oldest first. `held`: plans of a previous life, slots whose jittered
    instant is to come, and what a pause or an outage holds back. Of the due slots only the newest can be on time.
    """
    plans = {run.scheduled_for: run for run in held if run.scheduled_for is not None}
    catch_ups = {slot: run for slot, run in plans.items() if run.trigger is Trigger.CATCH_UP}
    unbegun = {slot: run for slot, run in plans.items() if run.trigger is not Trigger.CATCH_UP}
    if not runs_by_itself(job):
        return _give_up(job, unbegun, catch_ups, moment)
    due_at = {slot: moment.spread.due_at(job, slot) for slot in {*slots, *unbegun} - catch_ups.keys()}
    due = sorted(slot for slot in due_at if slot not in unbegun or due_at[slot] <= moment.now)
    on_time = due.pop() if due and not moment.stopped(job) and not moment.late(due_at[due[-1]]) else None
    chosen = [] if on_time and job.catch_up is CatchUp.LAST else _chosen(job, [*due, *catch_ups], moment.now)
    fresh = [_plan(job, on_time, due_at[on_time])] if on_time and on_time not in unbegun else []
    late = [_catch_up(job, at, moment.why_missed(job, at), unbegun.get(at)) for at in chosen if at not in catch_ups]
    gone_on = {run.run_id for run in late}
    passed = _of(catch_ups, catch_ups.keys() - set(chosen))
    return Decision(
        planned=fresh + late,
        reports=[
            missed(job, slot, moment.why_missed(job, slot), run_id=_id_to_end(job, unbegun.get(slot), gone_on))
            for slot in due
        ],
        dropped=_of(unbegun, due) + passed,
        released=_hand_back(job, passed),
    )


def _give_up(
    job: Job, unbegun: Mapping[datetime, PlannedRun], catch_ups: Mapping[datetime, PlannedRun], moment: Moment
) -> Decision:
    return Decision(
        reports=[_off(job, slot, run, moment) for slot, run in sorted(unbegun.items())],
        dropped=[*unbegun.values(), *catch_ups.values()],
        released=_hand_back(job, catch_ups.values()),
    )


def _off(job: Job, slot: datetime, run: PlannedRun, moment: Moment) -> Report:
    run_id = _id_to_end(job, run, ())
    if moment.late(run.due_at):
        return missed(job, slot, moment.why_missed(job, slot), run_id=run_id)
    return replace(missed(job, slot, Reason.REJECTED, run_id=run_id), error=f"Missed: {_OFF}")


def decide_retry(job: Job, run: PlannedRun, moment: Moment) -> Decision:
    """Give up a planned retry whose job may not run any more, or which is overdue by more than `catch_up_window`."""
    if run.due_at > moment.now:
        return Decision()
    if not runs_by_itself(job):
        return Decision(reports=[_given_up(run, Reason.REJECTED, f"Not tried again: {_OFF}")], dropped=[run])
    window = max(timedelta(seconds=job.catch_up_window_s), TOLERANCE)
    if moment.now - run.due_at > window:
        return Decision(reports=[_given_up(run, moment.why_late(job, run.due_at))], dropped=[run])
    return Decision()


def decide_gone(job: Job | None, run: PlannedRun, moment: Moment) -> Decision:
    """Give up a plan whose job is no longer in the YAML (None), or a start's retry after the next start.

    A catch-up is forgotten, and its slot handed back: the slot's row here says already that it was missed, and why.
    """
    if job is not None:
        return Decision(reports=[_given_up(run, Reason.AGENT_DOWN, _NEW_START)], dropped=[run])
    if run.trigger is Trigger.CATCH_UP and run.attempt == 1:
        return Decision(dropped=[run], released=[_given_up(run, _cause(run), f"Missed: {_GONE}")])
    if run.attempt == 1 and moment.late(run.due_at):
        return Decision(reports=[_given_up(run, moment.why_late(None, run.due_at))], dropped=[run])
    what = "Not tried again" if run.attempt > 1 else "Missed"
    return Decision(reports=[_given_up(run, Reason.REJECTED, f"{what}: {_GONE}")], dropped=[run])


def decide_stop(job: Job | None, run: PlannedRun, moment: Moment) -> Decision:
    """Hand back the slot of a run that may have been won and will not begin, for the agent stops.

    Where policy may want the slot, the next start weighs it as a catch-up, under an id that nobody has closed.
    """
    if job is None or run.scheduled_for is None:
        return decide_gone(None, run, moment)
    if run.trigger is Trigger.CATCH_UP:
        again = replace(run, run_id=uuid4())
        return Decision(planned=[again], dropped=[run], released=_hand_back(job, [run]))
    cause = moment.why_missed(job, run.scheduled_for)
    chosen = _chosen(job, [run.scheduled_for], moment.now)
    return Decision(
        planned=[_catch_up(job, slot, cause, None) for slot in chosen],
        reports=[missed(job, run.scheduled_for, cause, run_id=run.run_id)],
        dropped=[run],
    )


def missed(job: Job, slot: datetime | None, cause: Reason, *, run_id: UUID | None = None) -> Report:
    """The record of a slot (None: of a start) at which the job did not run."""
    return Report(
        run_id=run_id or uuid4(),
        job_id=job.id,
        trigger=Trigger.SCHEDULE if slot else Trigger.STARTUP,
        status=RunStatus.MISSED,
        reason=cause,
        scheduled_for=slot,
        error=_SENTENCES.get(cause),
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


def _plan(job: Job, slot: datetime, due_at: datetime) -> PlannedRun:
    return PlannedRun(run_id=uuid4(), job_id=job.id, trigger=Trigger.SCHEDULE, scheduled_for=slot, due_at=due_at)


def _catch_up(job: Job, slot: datetime, cause: Reason, unbegun: PlannedRun | None) -> PlannedRun:
    keeps_id = unbegun is not None and job.placement is Placement.ANY
    return PlannedRun(
        run_id=unbegun.run_id if unbegun and keeps_id else uuid4(),
        job_id=job.id,
        trigger=Trigger.CATCH_UP,
        scheduled_for=slot,
        due_at=slot,
        cause=cause,
    )


def _id_to_end(job: Job, unbegun: PlannedRun | None, gone_on: Container[UUID]) -> UUID | None:
    """Under which id to say that the slot was missed: the plan's own hands it back where it was won."""
    if unbegun is None or job.placement is not Placement.ANY or unbegun.run_id in gone_on:
        return None
    return unbegun.run_id


def _hand_back(job: Job, catch_ups: Iterable[PlannedRun]) -> list[Report]:
    """Catch-ups that are given up: the slot's `missed` row stands here already."""
    if job.placement is not Placement.ANY:
        return []
    return [missed(job, run.scheduled_for, _cause(run), run_id=run.run_id) for run in catch_ups]


def _cause(catch_up: PlannedRun) -> Reason:
    return Reason(catch_up.cause) if catch_up.cause else Reason.BUSY


def _of(plans: Mapping[datetime, PlannedRun], slots: Iterable[datetime]) -> list[PlannedRun]:
    return [plans[slot] for slot in slots if slot in plans]


def _given_up(run: PlannedRun, reason: Reason, sentence: str | None = None) -> Report:
    return Report(
        run_id=run.run_id,
        job_id=run.job_id,
        trigger=run.trigger,
        status=RunStatus.MISSED,
        attempt=run.attempt,
        reason=reason,
        scheduled_for=run.scheduled_for,
        error=sentence or _SENTENCES[reason],
    )
