"""Up to where each job's slots are decided, and when its next one is due. Only ever forward.

A job that the journal knows goes on from its cursor when the agent starts; one that is new, was enabled or got
another schedule while the agent runs begins now. Disabled jobs keep moving, so that enabling one owes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from agent.model import Job
from agent.ports import Jobs, SlotJournal
from agent.schedule.timetable import next_fire, slots_between

log = structlog.get_logger()

EXAMINED = 1000
"""Slots looked at per job after a long absence: the newest ones."""
_FAR_AHEAD = timedelta(hours=1)


class Timeline:
    """The jobs in force with their cursors and next slots."""

    def __init__(self, journal: SlotJournal) -> None:
        self._journal = journal
        self.revision: int | None = None
        """Of the configuration taken over; None before the first."""
        self.jobs: Mapping[str, Job] = {}
        self.unsaved: dict[str, datetime] = {}
        """Cursors that the journal has not yet."""
        self._cursors: dict[str, datetime] = {}
        self._next: dict[str, datetime] = {}

    async def take_over(self, jobs: Jobs, now: datetime) -> None:
        """Take over the configuration in force, if it is another one. Raises `StateError`, having changed nothing."""
        revision, first = jobs.revision, self.revision is None
        if revision == self.revision:
            return
        found = {job.id: job for job in jobs.all()}
        cursors = {}
        for job in found.values():
            if job.schedule is not None:
                cursors[job.id] = await self._begin(job, now, first=first)
        self.unsaved |= {job_id: at for job_id, at in cursors.items() if self._cursors.get(job_id) != at}
        self.revision, self.jobs, self._cursors, self._next = revision, found, {}, {}
        for job_id, at in cursors.items():
            self._move(job_id, at)
        self.say_waiting(now)

    async def _begin(self, job: Job, now: datetime, *, first: bool) -> datetime:
        """From where to count the job's slots."""
        before, known = self.jobs.get(job.id), self._cursors.get(job.id)
        if before is not None and known is not None and _same_schedule(before, job):
            return known
        known = await self._journal.cursor(job.id)
        return known if first and known else max(known or now, now)

    def due(self, now: datetime) -> Sequence[str]:
        """Ids of the jobs that have slots to decide."""
        return [job_id for job_id, at in self._next.items() if at <= now]

    def slots(self, job_id: str, now: datetime) -> Sequence[datetime]:
        """The undecided slots of a job up to now, oldest first, at most `EXAMINED`."""
        schedule = self.jobs[job_id].schedule
        return slots_between(schedule, self._cursors[job_id], now, EXAMINED) if schedule else ()

    def advance(self, cursors: Mapping[str, datetime]) -> None:
        """These were committed."""
        self.unsaved = {}
        for job_id, at in cursors.items():
            if job_id in self._cursors:
                self._move(job_id, at)

    def first_due(self) -> datetime | None:
        """The next slot of all."""
        return min(self._next.values(), default=None)

    def say_waiting(self, now: datetime) -> None:
        """Warn of jobs whose decided slots are ahead of the clock: it was set back, or was wrong before."""
        for job_id, at in self._cursors.items():
            if at - now > _FAR_AHEAD:
                log.warning("no slot runs twice: the job waits until the clock has caught up", job=job_id, until=at)

    def _move(self, job_id: str, at: datetime) -> None:
        self._cursors[job_id] = at
        schedule = self.jobs[job_id].schedule
        following = next_fire(schedule, at) if schedule else None
        if following is None:
            self._next.pop(job_id, None)
        else:
            self._next[job_id] = following


def _same_schedule(before: Job, after: Job) -> bool:
    return before.schedule == after.schedule and (before.enabled or not after.enabled)
