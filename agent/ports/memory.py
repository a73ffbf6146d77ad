"""Local memory: what SQLite keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from agent.model import LocalRun, OutboxEntry, Pause, PlannedRun, Report, Verdict

Claim = tuple[UUID, int]
"""A request, and how often it had been claimed then."""


class RunJournal(Protocol):
    """The executor's and intake's durable record. Every method returns after the commit is on disk."""

    async def record(self, report: Report, *, retry: PlannedRun | None = None) -> None:
        """Commit the report to the outbox and the local history in one transaction.

        A start (`status=running`) or an end without one (skipped, cancelled while it waited) also removes the planned
        run of the same id; `retry` plans another one.
        Reports of trigger `exec` go to the history alone. Raises `StateError`.
        """
        ...

    async def drop(self, run_ids: Sequence[UUID]) -> None:
        """Forget planned runs: another agent runs their slots."""
        ...

    async def begun(self, claims: Sequence[Claim]) -> Collection[Claim]:
        """Those of these claims of which a run was ever recorded here."""
        ...

    async def unfinished(self) -> Sequence[LocalRun]:
        """Runs recorded as started and not as ended: of a previous life when asked at start."""
        ...

    async def unreported_requests(self) -> Sequence[UUID]:
        """Requests with an unfinished run or with reports still in the outbox."""
        ...


class SlotJournal(Protocol):
    """The scheduler's durable record."""

    async def cursors(self) -> Mapping[str, datetime]:
        """By job ever seen: all its slots up to here have been decided."""
        ...

    async def decide(
        self,
        *,
        cursors: Mapping[str, datetime],
        planned: Sequence[PlannedRun] = (),
        reports: Sequence[Report] = (),
        dropped: Sequence[UUID] = (),
        released: Sequence[Report] = (),
    ) -> Collection[UUID]:
        """One transaction: forget planned runs, advance cursors (never backwards), record reports, plan runs.

        `released` go to the outbox alone. Returns the ids of planned runs that were left out.

        In that order: a catch-up takes the place of the planned run that it drops, and may have a `missed` row.
        A report whose (job, slot, attempt) already has a row in the history is left out silently; so is a planned run
        whose (job, slot, attempt) is already planned or has a row other than `missed`.
        """
        ...

    async def planned(self) -> Sequence[PlannedRun]:
        """Every run planned and not begun, by `due_at`."""
        ...


class OutboxStore(Protocol):
    """The sender's view of the outbox."""

    async def pending(self, limit: int, max_bytes: int) -> Sequence[OutboxEntry]:
        """The oldest entries that are not set aside, in order; at least one when there is one."""
        ...

    async def newest(self) -> int:
        """Seq of the youngest entry that is not set aside; 0 when there is none."""
        ...

    async def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        """Remove these entries (by seq); a rejection's `why` is kept in the local history."""
        ...

    async def strip_output(self, seq: int) -> None:
        """Give up output and error text of this entry, keep its outcome."""
        ...

    async def set_aside(self, seq: int, why: str) -> None:
        """Keep the entry, never send it again by itself, show it in `status`."""
        ...

    async def wait_pending(self) -> None:
        """Return as soon as there is an entry to send."""
        ...


class BoxPause(Protocol):
    """The pause that a person set on this box (`cronmirror pause`)."""

    def read(self) -> Pause | None:
        """As it stands now. Cheap: asked every second. Never raises."""
        ...


class Notes(Protocol):
    """Small durable values of the agent itself (claim sequence, last known good, …)."""

    async def get(self, key: str) -> str | None:
        """The value, or None."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Commit the value."""
        ...
