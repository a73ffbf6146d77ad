"""A box in virtual time: its schedule can be started, killed and started again over the same journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.model import Job, Run, RunStatus, Schedule, ScheduleKind
from agent.report.wake import WakeWatch
from agent.schedule.jitter import Spread
from agent.schedule.scheduler import Scheduler, Stages
from tests.support.clock import VirtualClock, settle
from tests.support.fake_slots import BeginningRunner, FakeSlots, Killed
from tests.support.fake_stages import FakeJobs, FakePause, FakeTurns, a_job

NOON = datetime(2026, 3, 18, 12, tzinfo=UTC)


def cron(expr, timezone="UTC", **more) -> Schedule:
    return Schedule(kind=ScheduleKind.CRON, expr=expr, timezone=timezone, **more)


class World:
    """One agent's schedule and what it stands on."""

    def __init__(self, start: datetime = NOON) -> None:
        self.clock = VirtualClock(start)
        self.journal = FakeSlots()
        self.runner = BeginningRunner(journal=self.journal)
        self.pause = FakePause()
        self.turns = FakeTurns()
        self.jobs = FakeJobs()
        self.waiting: set[str] = set()
        """Jobs whose connection needs re-authentication."""
        self.counted: list[int] = []
        """Slots that an outage would be told of, by commit."""
        self.task: asyncio.Task[None] | None = None

    async def start(self, *jobs: Job) -> None:
        """A process begins; without jobs: with those of the last one."""
        self.jobs = FakeJobs(*(jobs or self.jobs.all()))
        self.runner.kill_at = self.journal.kill_at = None
        watch = WakeWatch(self.clock, self.on_jump, lambda _: None)
        self.scheduler = Scheduler(
            clock=self.clock,
            jobs=self.jobs,
            journal=self.journal,
            stages=Stages(
                jumps=watch,
                runner=self.runner,
                pause=self.pause,
                turns=self.turns,
                waits=lambda job: job.id in self.waiting,
                missed=self.counted.append,
            ),
            spread=Spread(project="home", agent_id="mini"),
        )
        self.task = asyncio.create_task(self.scheduler.run())
        await settle()
        self.check()

    def on_jump(self, ahead_s: float) -> None:
        self.scheduler.on_jump(ahead_s)

    async def kill(self) -> None:
        """The process ends without a word."""
        assert self.task
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.task = None

    async def killed(self) -> None:
        """It ended where the test wanted."""
        assert self.task
        with pytest.raises(Killed):
            await self.task
        self.task = None

    async def advance(self, **duration) -> None:
        await self.clock.advance(timedelta(**duration).total_seconds())
        self.check()

    def sleep(self, **duration) -> None:
        """The machine sleeps: only the wall clock goes on."""
        self.clock.step_wall(timedelta(**duration))

    def check(self) -> None:
        """A scheduler that ended by itself is a failure, unless it was to be killed."""
        if self.task and self.task.done() and not isinstance(self.task.exception(), Killed):
            self.task.result()

    def ran(self, job_id: str = "a") -> list[str]:
        """Slots handed over, as `trigger HH:MM` (`cause` behind a catch-up)."""
        return [_told(run) for run in self.runner.runs if run.job.id == job_id]

    def missed(self, job_id: str = "a") -> list[str]:
        """Recorded missed slots, as `HH:MM cause`."""
        return [
            f"{report.scheduled_for:%H:%M} {report.reason}"
            for report in self.journal.reports
            if report.job_id == job_id and report.status is RunStatus.MISSED and report.scheduled_for
        ]


def _told(run: Run) -> str:
    parts = [run.trigger, f"{run.scheduled_for:%H:%M}" if run.scheduled_for else None, run.cause]
    return " ".join(part for part in parts if part)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    if world.task:
        await world.kill()


@pytest.fixture
def job():
    """Make a job that runs by a cron expression."""

    def make(expr="0 * * * *", job_id="a", timezone="UTC", **values) -> Job:
        return a_job(job_id, schedule=cron(expr, timezone), **values)

    return make
