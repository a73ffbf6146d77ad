"""When a job's runs are worth a notice: when it begins to fail, when it works again, when it did not run. Pure.

A standing is what is known of a job in trouble; a healthy one has none. Only changes of the standing make notices. Of a
shared job another agent may have changed it meanwhile: what is no news here is filed as such (`Shared.still`), and the
project's list decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from agent.model import (
    EndedRun,
    Job,
    Json,
    LocalRun,
    Notice,
    NoticeType,
    Placement,
    Reason,
    RunStatus,
    Severity,
    Shared,
)
from agent.notices.telling import tell
from agent.notices.texts import failed_text, missed_text, missed_together_text, recovered_text

MISSED_APART = 3
"""So many jobs that missed their slots together are told one by one; more of them in one notice."""

SLOTS_NAMED = 100
"""The last ones that were missed; more are not worth asking about."""

_FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.LOST)
_NOBODYS_FAULT = (Reason.PAUSED, Reason.REJECTED, Reason.NEEDS_REAUTH)
"""Slots missed because somebody wanted it so; what a connection holds back is told by the connection's notice."""


class JobBook(Protocol):
    """The jobs of the configuration in force."""

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What is known of a job whose last run failed, or that missed its slots."""

    failures: int = 0
    """In a row, attempts that were followed by another one not counted."""
    since: datetime | None = None
    """End of the first of them."""
    told_at: datetime | None = None
    """When `job_failed` was filed last."""
    missing: bool = False
    """It missed slots, that was told, and it has not run since."""


@dataclass(kw_only=True)
class Judgement:
    """What came of a batch of ends."""

    standings: dict[str, Json] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a judgement rests on besides the runs."""

    agent_id: str
    agent_name: str
    jobs: JobBook
    realert_every_s: float | None = None


def judge(ends: Sequence[EndedRun], before: Mapping[str, Json], bench: Bench, now: datetime) -> Judgement:
    """What these ends, in order, make of the standings `before`."""
    troubles = {subject: _read(state) for subject, state in before.items() if subject.startswith("job:")}
    missed: dict[str, list[LocalRun]] = {}
    found = Judgement()
    for end in ends:
        subject, job = f"job:{end.run.job_id}", bench.jobs.get(end.run.job_id)
        if job is None:
            found.standings[subject] = None
            troubles.pop(subject, None)
            continue
        trouble = troubles.get(subject, Trouble())
        if end.run.status is RunStatus.MISSED:
            if end.final and end.run.reason not in _NOBODYS_FAULT:
                if not trouble.missing or _is_shared(job):
                    missed.setdefault(job.id, []).append(end.run)
                elif job.id in missed:
                    missed[job.id].append(end.run)
                troubles[subject] = replace(trouble, missing=True)
            continue
        after = _ran(job, end, trouble, bench, now, found.notices)
        troubles[subject] = after
    _tell_missed(missed, before, bench, now, found.notices)
    for subject, trouble in troubles.items():
        state = _written(trouble)
        if state != before.get(subject):
            found.standings[subject] = state
    return found


def _ran(job: Job, end: EndedRun, trouble: Trouble, bench: Bench, now: datetime, notices: list[Notice]) -> Trouble:
    run = end.run
    if run.status is RunStatus.OK:
        if trouble.told_at is not None:
            text = recovered_text(job, run, trouble.failures, trouble.since, bench.agent_name)
            notices.append(_notice(NoticeType.JOB_RECOVERED, Severity.INFO, job, run, bench, now, text))
        return Trouble()
    if run.status not in _FAILED or not end.final:
        return trouble
    failures = trouble.failures + 1
    since = trouble.since or run.finished_at or now
    told_at = trouble.told_at
    news = told_at is None or _due_again(told_at, bench, now)
    if failures > job.failure_tolerance and (news or _is_shared(job)):
        text = failed_text(job, run, failures, since, bench.agent_name)
        notice = _notice(NoticeType.JOB_FAILED, job.severity, job, run, bench, now, text)
        notices.append(notice if news else _still(notice))
        told_at = now if news else told_at
    return Trouble(failures=failures, since=since, told_at=told_at, missing=False)


def _due_again(told_at: datetime, bench: Bench, now: datetime) -> bool:
    return bench.realert_every_s is not None and now - told_at >= timedelta(seconds=bench.realert_every_s)


def _tell_missed(
    missed: Mapping[str, Sequence[LocalRun]],
    before: Mapping[str, Json],
    bench: Bench,
    now: datetime,
    notices: list[Notice],
) -> None:
    """After a long sleep everything is missed at once: one notice then, not one per job.

    Shared jobs are told apart from each other in any case: somebody else may have run one and not the other.
    """
    known = [(job, runs) for job_id, runs in missed.items() if (job := bench.jobs.get(job_id)) is not None]
    own = [(job, runs) for job, runs in known if not _is_shared(job)]
    for job, runs in known if len(own) <= MISSED_APART else [each for each in known if each not in own]:
        text = missed_text(job, runs, bench.agent_name)
        notice = _notice(NoticeType.JOB_MISSED, job.severity, job, runs[0], bench, now, text)
        if notice.shared is not None:
            slots = tuple(run.scheduled_for for run in runs if run.scheduled_for)[-SLOTS_NAMED:]
            notice = replace(notice, shared=replace(notice.shared, slots=slots))
            state = before.get(notice.subject)
            notice = _still(notice) if state and _read(state).missing else notice
        notices.append(notice)
    if len(own) <= MISSED_APART:
        return
    worst = max((job.severity for job, _ in own), key=lambda each: each.rank)
    change = f"{bench.agent_id}:{own[0][1][0].run_id}:{len(own)}"
    text = missed_together_text(own, bench.agent_name)
    notices.append(tell(NoticeType.JOB_MISSED, worst, f"agent:{bench.agent_id}", now, change, text))


def _notice(
    kind: NoticeType, severity: Severity, job: Job, run: LocalRun, bench: Bench, now: datetime, text: tuple[str, str]
) -> Notice:
    told = tell(kind, severity, f"job:{job.id}", now, f"{bench.agent_id}:{job.id}:{run.run_id}", text)
    if not _is_shared(job):
        return told
    return replace(told, shared=Shared(ended_at=run.finished_at, realert_every_s=bench.realert_every_s))


def _still(notice: Notice) -> Notice:
    return replace(notice, shared=replace(notice.shared or Shared(), still=True))


def _is_shared(job: Job) -> bool:
    return job.placement is Placement.ANY


def _read(state: Json) -> Trouble:
    since, told_at = state["since"], state["told_at"]
    return Trouble(
        failures=state["failures"],
        since=datetime.fromisoformat(since) if since else None,
        told_at=datetime.fromisoformat(told_at) if told_at else None,
        missing=state["missing"],
    )


def _written(trouble: Trouble) -> Json:
    if trouble == Trouble():
        return None
    return {
        "failures": trouble.failures,
        "since": trouble.since.isoformat() if trouble.since else None,
        "told_at": trouble.told_at.isoformat() if trouble.told_at else None,
        "missing": trouble.missing,
    }
