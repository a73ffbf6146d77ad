"""Up to where each job's slots are decided, and when its next one is due. Only ever forward.

A job that the journal knows goes on from its cursor when the agent starts; one that is new, was enabled or got
another schedule while the agent runs begins now. Disabled jobs keep moving, so that enabling one owes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

import structlog

from agent.model import Job, ScheduleKind
from agent.ports import Clock, Jobs, SlotJournal
from agent.schedule.timetable import next_fire, slots_between

log = structlog.get_logger()

EXAMINED = 1000
"""Slots looked at per job after a long absence: the newest ones."""
_FAR_AHEAD = timedelta(hours=1)
_CLOSEST = timedelta(seconds=1)
"""Two slots of a cron expression are at least so far apart."""
_AT_A_STRETCH = 100
"""Schedules that are evaluated before others get their turn: about 10 ms."""


class Timeline:
    """The jobs in force with their cursors and next slots."""

    def __init__(self, journal: SlotJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self.revision: int | None = None
        """Of the configuration taken over; None before the first."""
        self.jobs: Mapping[str, Job] = {}
        self.unsaved: dict[str, datetime] = {}
        """Cursors that the journal has not yet."""
        self._cursors: dict[str, datetime] = {}
        self._next: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        """Of `_next`; an entry that `_next` does not have is stale."""
        self._moved: dict[str, datetime] = {}
        """Cursors that were committed and whose next slot is not known yet."""

    async def take_over(self, jobs: Jobs, now: datetime) -> None:
        """Take over the configuration in force, if it is another one. Raises `StateError`, having changed nothing."""
        revision, first = jobs.revision, self.revision is None
        if revision == self.revision:
            return
        found = {job.id: job for job in jobs.all()}
        saved = await self._journal.cursors()
        cursors = {
            job.id: self._begin(job, saved.get(job.id), now, first=first)
            for job in found.values()
            if job.schedule is not None
        }
        self.unsaved |= {job_id: at for job_id, at in cursors.items() if self._cursors.get(job_id) != at}
        same = {
            job_id: self._next.get(job_id)
            for job_id, at in cursors.items()
            if self._cursors.get(job_id) == at and self.jobs[job_id].schedule == found[job_id].schedule
        }
        self.revision, self.jobs, self._cursors = revision, found, dict(cursors)
        self._next = {job_id: at for job_id, at in same.items() if at is not None}
        self._heap = [(at, job_id) for job_id, at in self._next.items()]
        heapify(self._heap)
        self._moved = {job_id: at for job_id, at in cursors.items() if job_id not in same}
        await self.look_ahead()
        self.say_waiting(now)

    def _begin(self, job: Job, saved: datetime | None, now: datetime, *, first: bool) -> datetime:
        """From where to count the job's slots."""
        before, known = self.jobs.get(job.id), self._cursors.get(job.id)
        if before is not None and known is not None and _same_schedule(before, job):
            return known
        return saved if first and saved else max(saved or now, now)

    def due(self, now: datetime) -> Sequence[str]:
        """Ids of the jobs that have slots to decide, by instant. They stay due until `advance` has moved them."""
        found: dict[str, datetime] = {}
        while self._heap and self._heap[0][0] <= now:
            at, job_id = heappop(self._heap)
            if self._next.get(job_id) == at:
                found[job_id] = at
        for job_id, at in found.items():
            heappush(self._heap, (at, job_id))
        return list(found)

    def slots(self, job_id: str, now: datetime) -> Sequence[datetime]:
        """The undecided slots of a job up to now, oldest first, at most `EXAMINED`; what is older is said once."""
        schedule, first = self.jobs[job_id].schedule, self._next.get(job_id)
        if schedule is None or first is None or first > now:
            return ()
        if schedule.kind is ScheduleKind.CRON and now - first < _CLOSEST:
            return (first,)  # in time: whether there is another one need not be found out before this one runs
        slots = slots_between(schedule, self._cursors[job_id], now, EXAMINED)
        if slots and slots[0] > first:
            log.warning(
                "only the newest slots of a long absence are looked at; older ones are neither recorded nor caught up",
                job=job_id,
                slots=len(slots),
                older_since=first,
                older_until=slots[0],
            )
        return slots

    def advance(self, cursors: Mapping[str, datetime]) -> None:
        """These were committed. `look_ahead` has to follow before the next question."""
        self.unsaved = {}
        for job_id, at in cursors.items():
            if self._cursors.get(job_id, at) != at:
                self._cursors[job_id] = self._moved[job_id] = at

    async def look_ahead(self) -> None:
        """Find the next slot of every job that has moved: after the due ones were handed over, for it takes a while."""
        for count, (job_id, at) in enumerate(list(self._moved.items()), 1):
            schedule = self.jobs[job_id].schedule
            following = next_fire(schedule, at) if schedule else None
            del self._moved[job_id]
            if following is None:
                self._next.pop(job_id, None)
            else:
                self._next[job_id] = following
                heappush(self._heap, (following, job_id))
            if count % _AT_A_STRETCH == 0:
                await self._clock.sleep(0)

    def first_due(self) -> datetime | None:
        """The next slot of all."""
        while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def say_waiting(self, now: datetime) -> None:
        """Warn of jobs whose decided slots are ahead of the clock: it was set back, or was wrong before."""
        for job_id, at in self._cursors.items():
            if at - now > _FAR_AHEAD:
                log.warning("no slot runs twice: the job waits until the clock has caught up", job=job_id, until=at)


def _same_schedule(before: Job, after: Job) -> bool:
    return before.schedule == after.schedule and (before.enabled or not after.enabled)
