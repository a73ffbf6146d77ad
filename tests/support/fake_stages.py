"""The stages beside the one under test, in memory: jobs, runner, wake-ups, pause."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from agent.model import Command, Job, Run, RunningRun, Turn, WakeKind, WakeUp


def a_job(job_id: str = "a", **values) -> Job:
    return Job(id=job_id, name=job_id.upper(), command=Command(argv=("true",)), **values)


class FakeJobs:
    """`agent.ports.Jobs`."""

    def __init__(self, *jobs: Job) -> None:
        self.valid = True
        self.revision = 1
        self._jobs = {job.id: job for job in jobs}
        self._changed = asyncio.Event()

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def all(self) -> Sequence[Job]:
        return tuple(self._jobs.values())

    def reload(self, *jobs: Job) -> None:
        self._jobs = {job.id: job for job in jobs}
        self.revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_changed(self, revision: int) -> int:
        while self.revision == revision:
            await self._changed.wait()
        return self.revision


@dataclass(kw_only=True)
class FakeRunner:
    """`agent.ports.Runner`: runs end when the test says so."""

    slots: int = 4
    job_ids: Sequence[str] = ("a",)
    busy_jobs: set[str] = field(default_factory=set)
    submitted: list[Run] = field(default_factory=list)
    active: dict[UUID, RunningRun] = field(default_factory=dict)
    cancelled: list[tuple[UUID, str]] = field(default_factory=list)
    quick: tuple[int, Sequence[str]] = (0, ())
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def free(self) -> int:
        return self.slots - len(self.active)

    def claimable(self) -> Sequence[str]:
        return tuple(job_id for job_id in self.job_ids if job_id not in self.busy_jobs)

    def ahead(self) -> tuple[int, Sequence[str]]:
        return max(0, self.quick[0] - max(0, -self.free)), self.quick[1]

    def submit(self, run: Run) -> None:
        self.submitted.append(run)
        request = run.request
        self.active[run.id] = RunningRun(
            run_id=run.id,
            job_id=run.job.id,
            request_id=request.id if request else None,
            claims=request.claims if request else None,
        )
        self.change()

    def end(self, run_id: UUID | None = None) -> None:
        self.active.pop(run_id or next(iter(self.active)))
        self.change()

    def change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def cancel_request(self, request_id: UUID, reason: str) -> bool:
        self.cancelled.append((request_id, reason))
        return any(run.request_id == request_id for run in self.active.values())

    def running(self) -> Sequence[RunningRun]:
        return tuple(self.active.values())

    async def wait_change(self) -> None:
        await self._changed.wait()


class FakeWakeUps:
    """`agent.ports.WakeUps`."""

    def __init__(self, *, healthy: bool = True) -> None:
        self.healthy = healthy
        self._hints: asyncio.Queue[WakeUp] = asyncio.Queue()

    def say(self, kind: WakeKind = WakeKind.QUEUED) -> None:
        self._hints.put_nowait(WakeUp(kind=kind))

    async def next(self) -> WakeUp:
        return await self._hints.get()


class FakePause:
    """`agent.ports.PauseState`."""

    def __init__(self, *what: str) -> None:
        self.what = set(what)

    def paused(self, what: str) -> bool:
        return what in self.what


class FakeTurns:
    """`agent.ports.Turns`: every slot that is asked for is ours while it is open, unless `taken` says otherwise."""

    def __init__(self) -> None:
        self.asked: list[Run] = []
        self.taken = False
        self._open = asyncio.Event()
        self._open.set()

    @property
    def open(self) -> bool:
        return self._open.is_set()

    def shut(self) -> None:
        """Supabase is cut off."""
        self._open.clear()

    def reopen(self) -> None:
        """And back."""
        self._open.set()

    async def wait_open(self) -> None:
        await self._open.wait()

    async def ask(self, run: Run) -> Turn:
        self.asked.append(run)
        if not self.open:
            return Turn.UNKNOWN
        return Turn.TAKEN if self.taken else Turn.OURS
