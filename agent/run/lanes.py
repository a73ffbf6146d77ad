"""Which waiting run may begin next: the oldest for which its job and its tags leave room. Pure, no tasks, no clock.

Every job with runs here has a lane. Lanes whose jobs share the same limited tags are blocked together, so each such
group keeps its lanes in a heap by their oldest waiting run: a begin or an end costs O(log n), however many wait.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from uuid import UUID

from agent.model import Job, Overlap, Run, Trigger
from agent.ports import Jobs
from agent.run.cancel import CancelSwitch


@dataclass(kw_only=True, eq=False)
class Entry:
    """A run that was admitted and has not ended."""

    run: Run
    cancel: CancelSwitch = field(default_factory=CancelSwitch)
    started_at: datetime | None = None
    """None while it waits."""
    over: bool = False
    """The command has ended, and that is being recorded."""
    place: int = -1
    """In the line: who came first has the lower one, and keeps it when others go before."""

    @property
    def collapses(self) -> bool:
        """A newer run of the job takes its place in the line. Requests and catch-ups were asked for one by one."""
        return self.run.trigger in (Trigger.SCHEDULE, Trigger.STARTUP)


@dataclass(kw_only=True, eq=False)
class Lane:
    """The runs of one job."""

    limit: int
    tags: frozenset[str]
    """Of the job's, those that are limited."""
    active: dict[UUID, Entry] = field(default_factory=dict)
    waiting: OrderedDict[UUID, Entry] = field(default_factory=OrderedDict)
    collapsing: Entry | None = None
    """The one that waits and collapses; there is never a second."""

    @property
    def head(self) -> Entry | None:
        """The oldest that waits."""
        return next(iter(self.waiting.values()), None)


def job_limit(job: Job) -> int:
    """How many runs of the job may execute at a time, by its overlap rule and its `concurrency`."""
    match job.overlap:
        case Overlap.ALLOW:
            return job.concurrency or sys.maxsize
        case Overlap.QUEUE:
            return job.concurrency or 1
        case Overlap.SKIP | Overlap.CANCEL_PREVIOUS:
            return 1


class Lanes:
    """Everything admitted, and who may begin."""

    def __init__(self, jobs: Jobs, *, concurrency: int, tags: Mapping[str, int]) -> None:
        self.active: dict[UUID, Entry] = {}
        self.waiting: dict[UUID, Entry] = {}
        self._jobs = jobs
        self._concurrency = concurrency
        self._over = 0
        self._tags = tags
        self._used: Counter[str] = Counter()
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[frozenset[str], list[tuple[int, str]]] = {}
        """Limited tags → heap of (place of its head, job id) of lanes. May hold stale ones: see `_top`."""
        self._places = itertools.count()

    # ── questions ───────────────────────────────────────────────────────────

    @property
    def free(self) -> int:
        """How many more may begin, were there no other limit.

        What is over leaves its place to the next while it is recorded, but no more of them than there are places: a
        disk that is full holds up what comes.
        """
        return max(0, self._concurrency - len(self.active) + min(self._over, self._concurrency))

    def lane(self, job_id: str) -> Lane | None:
        """None: no run of this job is here."""
        return self._lanes.get(job_id)

    def has_room(self, job: Job) -> bool:
        """Whether one more run of the job could begin as soon as one is free, leaving nobody of its job behind."""
        lane = self._lanes.get(job.id)
        if lane is not None and lane.waiting:
            return False
        running = len(lane.active) if lane else 0
        leaving = running if job.overlap is Overlap.CANCEL_PREVIOUS else 0
        if running - leaving >= job_limit(job):
            return False
        return all(self._used[tag] - leaving < self._tags[tag] for tag in job.tags if tag in self._tags)

    def unlimited(self, job: Job) -> bool:
        """Whether nothing but the concurrency of all runs holds up a run of the job."""
        return job_limit(job) == sys.maxsize and not self._limited(job)

    def next(self) -> Entry | None:
        """The oldest waiting run that may begin now."""
        if not self.free:
            return None
        tops = [
            top
            for tags, heap in self._ready.items()
            if (top := self._top(heap)) and all(self._used[tag] < self._tags[tag] for tag in tags)
        ]
        return self._lanes[min(tops)[1]].head if tops else None

    # ── moves ───────────────────────────────────────────────────────────────

    def wait(self, entry: Entry) -> None:
        """At the end of the line."""
        lane = self._lanes.get(entry.run.job.id) or self._open(entry.run.job)
        entry.place = next(self._places)
        self.waiting[entry.run.id] = lane.waiting[entry.run.id] = entry
        if entry.collapses:
            lane.collapsing = entry
        if len(lane.waiting) == 1:
            self._offer(entry.run.job.id, lane)

    def leave(self, entry: Entry) -> None:
        """Out of the line."""
        lane = self._lanes[entry.run.job.id]
        del self.waiting[entry.run.id], lane.waiting[entry.run.id]
        if lane.collapsing is entry:
            lane.collapsing = None
        self._settle(entry.run.job.id, lane)

    def begin(self, entry: Entry) -> None:
        """Out of the line, into a place."""
        lane = self._lanes[entry.run.job.id]
        self.active[entry.run.id] = lane.active[entry.run.id] = entry
        self._used.update(lane.tags)
        self.leave(entry)

    def over(self, entry: Entry) -> None:
        """Its command has ended: it is still its job's run, until `end`."""
        if not entry.over:
            entry.over = True
            self._over += 1

    def end(self, entry: Entry) -> None:
        """It is recorded."""
        lane = self._lanes[entry.run.job.id]
        self._over -= entry.over
        del self.active[entry.run.id], lane.active[entry.run.id]
        self._used.subtract(lane.tags)
        self._settle(entry.run.job.id, lane)

    def limit(self, *, concurrency: int, tags: Mapping[str, int]) -> None:
        """Other limits, and perhaps other rules of the jobs. What runs goes on."""
        self._concurrency, self._tags = concurrency, tags
        self._used.clear()
        self._ready.clear()
        for job_id, lane in self._lanes.items():
            some = next(iter([*lane.active.values(), *lane.waiting.values()]))
            job = self._jobs.get(job_id) or some.run.job
            lane.limit, lane.tags = job_limit(job), self._limited(job)
            for tag in lane.tags:
                self._used[tag] += len(lane.active)
            self._offer(job_id, lane)

    # ────────────────────────────────────────────────────────────────────────

    def _open(self, job: Job) -> Lane:
        lane = self._lanes[job.id] = Lane(limit=job_limit(job), tags=self._limited(job))
        return lane

    def _limited(self, job: Job) -> frozenset[str]:
        return frozenset(tag for tag in job.tags if tag in self._tags)

    def _settle(self, job_id: str, lane: Lane) -> None:
        if lane.active or lane.waiting:
            self._offer(job_id, lane)
        else:
            del self._lanes[job_id]

    def _offer(self, job_id: str, lane: Lane) -> None:
        """Its head may begin as far as its job is concerned."""
        if (head := lane.head) is not None and len(lane.active) < lane.limit:
            heap = self._ready.setdefault(lane.tags, [])
            if not (heap and heap[0] == (head.place, job_id)):
                heappush(heap, (head.place, job_id))

    def _top(self, heap: list[tuple[int, str]]) -> tuple[int, str] | None:
        """The oldest head of a heap, without those that have begun, left, or whose job has no room any more."""
        while heap:
            place, job_id = heap[0]
            lane = self._lanes.get(job_id)
            if lane and (head := lane.head) and head.place == place and len(lane.active) < lane.limit:
                return heap[0]
            heappop(heap)
        return None
