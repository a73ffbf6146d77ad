"""The runs that are planned and not handed over: the journal's, in memory, so that a turn need not read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from agent.model import PlannedRun
from agent.ports import Clock, SlotJournal

REREAD_S = 60.0
"""How often the journal is read nevertheless: what has begun need not be remembered any more."""


class Plans:
    """Those that the scheduler has to hand over, and which of the others the runner still has."""

    def __init__(self, journal: SlotJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._held: dict[UUID, PlannedRun] = {}
        self._handed_over: set[UUID] = set()
        """Planned runs that the runner has, begun or not."""
        self._news: list[PlannedRun] = []
        """Told since the last reading began."""
        self._read_at: float | None = None
        self._first = True
        self.asked: set[UUID] = set()
        """Of a previous life, or handed back: runs that may have been asked for, and won."""

    @property
    def held(self) -> Collection[PlannedRun]:
        """Not handed over."""
        return self._held.values()

    def doubt(self) -> None:
        """A commit failed, and may have happened: read the journal before the next decision."""
        self._read_at = None

    async def refresh(self) -> bool:
        """Read the journal if that is due; True when it was read. Raises `StateError`."""
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < REREAD_S:
            return False
        self._news.clear()
        planned = [*await self._journal.planned(), *self._news]  # a retry may be planned while we read
        ids = {run.run_id for run in planned}
        self._handed_over &= ids
        self._held = {run.run_id: run for run in planned if run.run_id not in self._handed_over}
        if self._first:
            self._first, self.asked = False, ids
        self.asked &= ids
        self._read_at = now
        return True

    def learn(self, run: PlannedRun) -> None:
        """Somebody else planned this one."""
        self._news.append(run)
        self.add([run])

    def add(self, runs: Iterable[PlannedRun]) -> None:
        """These are in the journal now."""
        self._held.update((run.run_id, run) for run in runs)

    def drop(self, runs: Iterable[PlannedRun]) -> None:
        """These are not in it any more."""
        for run in runs:
            self._held.pop(run.run_id, None)

    def hand_over(self, run: PlannedRun) -> None:
        """The runner has it."""
        del self._held[run.run_id]
        self._handed_over.add(run.run_id)

    def take_back(self, run: PlannedRun) -> None:
        """The runner could not begin it, and has it no more."""
        self._handed_over.discard(run.run_id)
        self._held[run.run_id] = run
        self.asked.add(run.run_id)
