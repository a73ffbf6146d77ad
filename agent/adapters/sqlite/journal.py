"""The journal: `RunJournal`, `SlotJournal`, `OutboxStore` and `Notes` over one SQLite file.

WAL with `synchronous=FULL`: when a method returns, a power cut changes nothing about it (DESIGN §4.6). One thread
writes; callers that wait together share an fsync. Bounded: old outputs and old history go, outcomes stay.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog

from agent.adapters.sqlite import notices, outbox, runs
from agent.adapters.sqlite.notices import NoticeMemory
from agent.adapters.sqlite.opening import open_journal
from agent.adapters.sqlite.rows import clean, instant
from agent.adapters.sqlite.statements import SQL
from agent.adapters.sqlite.writer import Writer
from agent.errors import StateError
from agent.model import LocalRun, OutboxEntry, PlannedRun, Report, RunStatus, Verdict
from agent.ports import Claim, Clock

log = structlog.get_logger()

OUTBOX_LIMIT_BYTES = 64 * 1024 * 1024
HISTORY_DAYS = 14
_PRUNE_EVERY_S = 3600.0


Recorded = Callable[[Report, PlannedRun | None], None]


class Journal:
    """What the agent must remember. Every method raises `StateError` when the file cannot be used."""

    def __init__(self, path: Path, clock: Clock, outbox_limit: int) -> None:
        self._clock = clock
        self._outbox_limit = outbox_limit
        self._pending = asyncio.Event()
        self._writer = Writer(path, lambda db: (outbox.has_pending(db), notices.has_ended(db)), self._tell)
        self.notices = NoticeMemory(self._writer)
        """`agent.ports.NoticeStore` in the same file."""
        self._pruned_at = clock.monotonic()
        self._ends: Counter[str] = Counter()
        self._recorded: Recorded = lambda _report, _retry: None

    @classmethod
    async def open(
        cls, path: Path, clock: Clock, *, mend: bool = True, outbox_limit: int = OUTBOX_LIMIT_BYTES
    ) -> Journal:
        """Open or create the journal at `path` (0600, missing folders 0700).

        A damaged file is moved aside to `<path>.corrupt-<time>` and a new one begun; with `mend=False` (a guest beside
        a running agent) it is an error. Raises `StateError`.
        """
        journal = cls(path, clock, outbox_limit)
        now = clock.now()
        await journal._writer.start(lambda: open_journal(path, now=now, mend=mend))
        await journal._prune()
        return journal

    async def close(self) -> None:
        """Commit what waits and close the file. Safe to repeat."""
        await self._writer.close()

    def on_recorded(self, listener: Recorded) -> None:
        """Whom to tell of every report of a run once it is on disk; must neither block nor raise."""
        self._recorded = listener

    # ── RunJournal ──────────────────────────────────────────────────────────

    async def record(self, report: Report, *, retry: PlannedRun | None = None) -> None:
        """Commit a report. The same one again changes nothing; an end is never taken back.

        Raises `StateError` also for a run of a slot and attempt that another run already had.
        """
        limits = self._limits(report)
        self._say_given_up(await self._writer.do(lambda db: runs.record(db, report, retry, limits)))
        self._recorded(report, retry)
        if self._clock.monotonic() - self._pruned_at > _PRUNE_EVERY_S:
            await self._prune()

    async def begun(self, claims: Sequence[Claim]) -> Collection[Claim]:
        """Those of these claims of which a run was ever recorded here."""
        return await self._writer.do(lambda db: runs.begun(db, claims))

    async def unfinished(self) -> Sequence[LocalRun]:
        """Begun and not ended, without `exec` runs: those belong to another process, which may be alive."""
        return await self._writer.do(runs.unfinished)

    async def unreported_requests(self) -> Sequence[UUID]:
        """Requests of unfinished runs and of reports still here, those set aside included."""
        return await self._writer.do(runs.unreported_requests)

    # ── SlotJournal ─────────────────────────────────────────────────────────

    async def cursors(self) -> Mapping[str, datetime]:
        """By job: all its slots up to here have been decided."""
        found = await self._writer.do(runs.cursors)
        return {job_id: instant(at) for job_id, at in found.items()}

    async def decide(
        self,
        *,
        cursors: Mapping[str, datetime],
        planned: Sequence[PlannedRun] = (),
        reports: Sequence[Report] = (),
        dropped: Sequence[UUID] = (),
        released: Sequence[Report] = (),
    ) -> Collection[UUID]:
        """One transaction; what already has a row is left out, but a `missed` slot may be planned as a catch-up."""
        limits = self._limits(*reports, *released)
        decided = runs.Decided(cursors=cursors, planned=planned, reports=reports, dropped=dropped, released=released)
        given_up, left_out = await self._writer.do(lambda db: runs.decide(db, decided, limits))
        self._say_given_up(given_up)
        return left_out

    async def planned(self) -> Sequence[PlannedRun]:
        """Planned and not begun, by `due_at`."""
        return await self._writer.do(runs.all_planned)

    async def drop(self, run_ids: Sequence[UUID]) -> None:
        """Forget planned runs."""
        await self._writer.do(lambda db: runs.drop(db, run_ids))

    # ── OutboxStore ─────────────────────────────────────────────────────────

    async def pending(self, limit: int, max_bytes: int) -> Sequence[OutboxEntry]:
        """The oldest entries to send; at least one when there is one."""
        return await self._writer.do(lambda db: outbox.pending(db, limit, max_bytes))

    async def newest(self) -> int:
        """Seq of the youngest entry to send; 0 when there is none."""
        return await self._writer.do(outbox.newest)

    async def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        """Drop what was answered."""
        await self._writer.do(lambda db: outbox.settle(db, verdicts))

    async def strip_output(self, seq: int) -> None:
        """Keep the outcome alone."""
        await self._writer.do(lambda db: outbox.strip_output(db, seq))

    async def set_aside(self, seq: int, why: str) -> None:
        """Never send it again."""
        await self._writer.do(lambda db: outbox.set_aside(db, seq, why))

    async def wait_pending(self) -> None:
        """Return as soon as there is an entry to send."""
        await self._pending.wait()

    # ── Notes ───────────────────────────────────────────────────────────────

    async def get(self, key: str) -> str | None:
        """The value, or None."""
        row = await self._writer.do(lambda db: db.execute(SQL["get_note"], {"key": key}).fetchone())
        return None if row is None else str(row["value"])

    async def put(self, key: str, value: str) -> None:
        """Commit the value."""
        await self._writer.do(lambda db: db.execute(SQL["put_note"], {"key": key, "value": clean(value)}))

    # ────────────────────────────────────────────────────────────────────────

    def _limits(self, *reports: Report) -> runs.Limits:
        """With the first end of each job in this life, and every so many more, its old runs go."""
        ended = [report.job_id for report in reports if report.status is not RunStatus.RUNNING]
        prune = frozenset(job_id for job_id in ended if self._ends[job_id] % runs.PRUNE_EVERY == 0)
        self._ends.update(ended)
        return runs.Limits(outbox_bytes=self._outbox_limit, now=self._clock.now(), prune=prune)

    def _tell(self, seen: tuple[bool, bool]) -> None:
        has_pending, has_ended = seen
        self.notices.tell(has_ended)
        if has_pending:
            self._pending.set()
        else:
            self._pending.clear()

    def _say_given_up(self, count: int) -> None:
        if count:
            log.warning("the outbox is full: output of its oldest reports was given up", reports=count)

    async def _prune(self) -> None:
        self._pruned_at = self._clock.monotonic()
        before = self._clock.now() - timedelta(days=HISTORY_DAYS)
        try:
            await self._writer.do(lambda db: runs.prune(db, before))
            while await self._writer.do(runs.give_back):
                pass
        except StateError as error:
            log.warning("old runs could not be pruned from the journal", error=str(error))
