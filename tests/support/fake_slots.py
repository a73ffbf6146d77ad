"""The scheduler's journal in memory, with the port's meaning, and a runner that begins what it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from agent.errors import StateError
from agent.model import PlannedRun, Report, Run, RunStatus

Slot = tuple[str, datetime | None, int]


class Killed(Exception):
    """The process ends here (kill -9)."""


@dataclass(kw_only=True)
class FakeSlots:
    """`SlotJournal`; what it holds survives a scheduler, as the file would."""

    saved: dict[str, datetime] = field(default_factory=dict)
    """Cursors."""
    plans: dict[UUID, PlannedRun] = field(default_factory=dict)
    history: dict[Slot, RunStatus] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    released: list[Report] = field(default_factory=list)
    commits: int = 0
    full: bool = False
    """Like a disk that failed: every call does, and nothing is changed."""
    kill_at: str | None = None
    """`decide`: before the commit; `decided`: after it."""

    async def cursors(self) -> Mapping[str, datetime]:
        self._fail()
        return dict(self.saved)

    async def decide(
        self,
        *,
        cursors: Mapping[str, datetime],
        planned: Sequence[PlannedRun] = (),
        reports: Sequence[Report] = (),
        dropped: Sequence[UUID] = (),
        released: Sequence[Report] = (),
    ) -> Collection[UUID]:
        self._kill("decide")
        self._fail()
        for run_id in dropped:
            self.plans.pop(run_id, None)
        for job_id, at in cursors.items():
            self.saved[job_id] = max(at, self.saved.get(job_id, at))
        for report in reports:
            if _slot(report) not in self.history:
                self._record(report)
        self.released += released
        left_out = set()
        for run in planned:
            taken = {_slot(each) for each in self.plans.values()}
            if _slot(run) not in taken and self.history.get(_slot(run)) in (None, RunStatus.MISSED):
                self.plans[run.run_id] = run
            else:
                left_out.add(run.run_id)
        self.commits += 1
        self._kill("decided")
        return left_out

    async def planned(self) -> Sequence[PlannedRun]:
        return sorted(self.plans.values(), key=lambda run: run.due_at)

    def begin(self, run: Run) -> None:
        """What the executor's start record does."""
        slot = (run.job.id, run.scheduled_for, run.attempt)
        assert run.scheduled_for is None or self.history.get(slot) in (None, RunStatus.MISSED), f"{slot} runs twice"
        self.history[slot] = RunStatus.RUNNING
        self.plans.pop(run.id, None)

    def _record(self, report: Report) -> None:
        self.reports.append(report)
        if report.scheduled_for is not None:
            self.history[_slot(report)] = report.status

    def _fail(self) -> None:
        if self.full:
            raise StateError("no space left on device")

    def _kill(self, at: str) -> None:
        if self.kill_at == at:
            raise Killed


@dataclass(kw_only=True)
class BeginningRunner:
    """As much of `Runner` as the scheduler calls: every run begins at once, or waits for ever."""

    journal: FakeSlots
    runs: list[Run] = field(default_factory=list)
    waits: bool = False
    kill_at: str | None = None
    """`submit`: before the run begins; `begun`: after its start is committed."""

    def submit(self, run: Run) -> None:
        if self.kill_at == "submit":
            raise Killed
        self.runs.append(run)
        if not self.waits:
            self.journal.begin(run)
        if self.kill_at == "begun":
            raise Killed


def _slot(each: Report | PlannedRun) -> Slot:
    return each.job_id, each.scheduled_for, each.attempt
