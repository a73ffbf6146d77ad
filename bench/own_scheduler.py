"""Our scheduler alone: the real `Scheduler`, the real SQLite journal on disk, and a runner that only notes the time.

`python -m bench.own_scheduler lateness COUNT LEAD_S` or `… scale COUNT IDLE_S` (see `bench.lateness`).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from agent.adapters.clock import SystemClock
from agent.adapters.sqlite import Journal
from agent.app.logs import configure
from agent.app.reading import parse_config
from agent.config.reload import Catalogue
from agent.model import Run, RunningRun, Turn
from agent.report.wake import WakeWatch
from agent.schedule.jitter import Spread
from agent.schedule.scheduler import Scheduler, Stages
from bench.lateness import Lateness, Scale, later, main

HEAD = "project: bench\nsupabase: {url: 'http://127.0.0.1:1'}\ndefaults: {timezone: UTC}\njobs:\n"


class _Noting:
    """`ports.Runner` that takes a run and does nothing with it but look at the clock."""

    free = 1

    def __init__(self, lateness: Lateness) -> None:
        self._lateness = lateness

    def submit(self, run: Run) -> None:  # noqa: ARG002 # the port's
        self._lateness.note()

    def claimable(self) -> Sequence[str]:
        return ()

    def ahead(self) -> tuple[int, Sequence[str]]:
        return 0, ()

    def cancel_request(self, request_id: UUID, reason: str) -> bool:  # noqa: ARG002 # the port's
        return False

    def running(self) -> Sequence[RunningRun]:
        return ()

    async def wait_change(self) -> None:
        await asyncio.Event().wait()


class _NeverPaused:
    def paused(self, what: str) -> bool:  # noqa: ARG002 # the port's
        return False


class _Alone:
    """Nobody else has these jobs."""

    open = True

    async def wait_open(self) -> None:
        return

    async def ask(self, run: Run) -> Turn:  # noqa: ARG002 # the port's
        return Turn.OURS


class _Rests(SystemClock):
    """Tells when the scheduler has done what there was to do, and waits."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.begun.set()
        await super().sleep(seconds)


def catalogue(count: int, instant: datetime) -> Catalogue:
    """`count` jobs that are due every day at `instant`, to the second, read from YAML as the agent reads it."""
    schedule = f"{instant.second} {instant.minute} {instant.hour} * * *"
    jobs = (f'  job-{number}: {{schedule: "{schedule}", run: ["true"]}}\n' for number in range(count))
    return Catalogue(parse_config(HEAD + "".join(jobs), Path("config.yaml"), {}).config)


async def lateness(count: int, lead_s: float) -> Lateness:
    """All of them due at once."""
    due = later(lead_s)
    noted, clock = Lateness(due, count), _Rests()

    async def look() -> None:
        await clock.begun.wait()
        noted.ready()
        await noted.wait()

    await _while_scheduling(catalogue(count, datetime.fromtimestamp(due, UTC)), noted, clock, look())
    return noted


async def scale(count: int, idle_s: float) -> Scale:
    """None of them due for half a day."""
    figures, clock = Scale(), _Rests()
    jobs = catalogue(count, datetime.now(UTC) + timedelta(hours=12))
    figures.loaded()

    async def look() -> None:
        await clock.begun.wait()
        await figures.rest(idle_s)

    await _while_scheduling(jobs, Lateness(time.time(), count), clock, look())
    return figures


async def _while_scheduling(jobs: Catalogue, lateness: Lateness, clock: SystemClock, what: Awaitable[None]) -> None:
    """Run the scheduler until `what` is over. What the scheduler raises is raised."""
    with tempfile.TemporaryDirectory(prefix="cronmirror-bench-") as folder:
        journal = await Journal.open(Path(folder) / "journal.sqlite3", clock)
        scheduler = Scheduler(
            clock=clock,
            jobs=jobs,
            journal=journal,
            stages=Stages(
                jumps=WakeWatch(clock, _jumped, _jumped),
                runner=_Noting(lateness),
                pause=_NeverPaused(),
                turns=_Alone(),
            ),
            spread=Spread(),
        )
        tasks = [asyncio.create_task(scheduler.run()), asyncio.ensure_future(what)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await journal.close()


def _jumped(seconds: float) -> None:
    raise RuntimeError(f"the clock jumped by {seconds:.1f} s during the measurement")


if __name__ == "__main__":
    configure(level="error", style="console")
    main(lateness, scale)
