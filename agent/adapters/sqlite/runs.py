"""Transactions on runs, plans and cursors. Plain functions of a connection; they run in the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from agent.adapters.sqlite import notices, outbox
from agent.adapters.sqlite.rows import local_run, micros, planned_row, planned_run, run_row
from agent.adapters.sqlite.statements import SQL
from agent.errors import StateError
from agent.model import LocalRun, PlannedRun, Report, RunStatus, Trigger
from agent.ports import Claim

RUNS_KEPT = 200
"""Ended runs per job that ran, and as many that never began; the same as on the server (docs/rpc.md, retention)."""
OUTPUTS_KEPT = 50
"""Runs per job whose output is kept locally."""
PRUNE_EVERY = 32
"""Ends of a job's runs: looking through its history at each of them costs more than all the rest of their commit."""

FREE_PAGES_KEPT = 1024
"""4 MiB."""

_NOT_RUN = (RunStatus.MISSED, RunStatus.SKIPPED)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the file."""

    outbox_bytes: int
    now: datetime
    prune: frozenset[str] = frozenset()
    """Jobs whose old runs may go with this one."""


def record(
    db: sqlite3.Connection, report: Report, retry: PlannedRun | None, limits: Limits, *, made_good: bool = False
) -> int:
    """Commit a report and what follows from it; return how many old outputs were given up for it.

    `made_good`: another run of the job is planned in its place.
    """
    row = run_row(report, limits.now)
    known = db.execute(SQL["known_run"], row).fetchone()
    if known is None:
        if not _take_slot(db, report):
            db.execute(SQL["unplan"], row)
            return 0
        db.execute(SQL["insert_run"], row)
    elif known["status"] != RunStatus.RUNNING or report.status is RunStatus.RUNNING:
        return 0  # said before; an end is never taken back
    else:
        db.execute(SQL["finish_run"], row)
    notices.note_end(db, report, final=retry is None and report.retry_in_s is None and not made_good)
    if report.request_id is None:  # only slots are planned
        db.execute(SQL["unplan"], row)
    if retry is not None:
        db.execute(SQL["plan"], planned_row(retry))
    if report.job_id in limits.prune:
        db.execute(SQL["forget_outputs"], {"job_id": report.job_id, "keep": OUTPUTS_KEPT})
        db.execute(SQL["prune_job"], {"job_id": report.job_id, "keep": RUNS_KEPT})
    return 0 if report.trigger is Trigger.EXEC else outbox.enqueue(db, report, limits.outbox_bytes)


def _take_slot(db: sqlite3.Connection, report: Report) -> bool:
    """Whether the report may have its slot: a run takes over a `missed` row, never another run's.

    The start of a second run is an error, so that nothing is started; the end of one that never began is left out.
    """
    taken = _slot_row(db, report)
    if taken is None:
        return True
    if report.status in _NOT_RUN:
        return False
    if taken["status"] != RunStatus.MISSED:
        if report.status is not RunStatus.RUNNING:
            return False
        raise StateError(
            f"job {report.job_id}: its slot {report.scheduled_for} (attempt {report.attempt}) was already run as "
            f"{taken['run_id']}",
            hint="Nothing to do: a slot runs once.",
        )
    db.execute(SQL["forget_run"], {"run_id": taken["run_id"]})
    return True


def _slot_row(db: sqlite3.Connection, slot: Report | PlannedRun) -> sqlite3.Row | None:
    if slot.scheduled_for is None:
        return None
    row: sqlite3.Row | None = db.execute(SQL["slot_run"], _slot(slot)).fetchone()
    return row


def _slot(slot: Report | PlannedRun) -> Mapping[str, object]:
    at = None if slot.scheduled_for is None else micros(slot.scheduled_for)
    return {"job_id": slot.job_id, "scheduled_for": at, "attempt": slot.attempt}


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the scheduler wants committed (`SlotJournal.decide`)."""

    cursors: Mapping[str, datetime]
    planned: Sequence[PlannedRun]
    reports: Sequence[Report]
    dropped: Sequence[UUID]
    released: Sequence[Report]


def decide(db: sqlite3.Connection, decided: Decided, limits: Limits) -> tuple[int, frozenset[UUID]]:
    """The scheduler's transaction, in this order: a catch-up may take the place of a plan and of a missed slot.

    Returns how many old outputs were given up, and which planned runs were left out.
    """
    drop(db, decided.dropped)
    db.executemany(SQL["advance"], [{"job_id": job_id, "at": micros(at)} for job_id, at in decided.cursors.items()])
    fresh = [report for report in decided.reports if _slot_row(db, report) is None]
    runs_on = {run.job_id for run in decided.planned}
    given_up = sum(record(db, report, None, limits, made_good=report.job_id in runs_on) for report in fresh)
    given_up += sum(outbox.enqueue(db, report, limits.outbox_bytes) for report in decided.released)
    left_out = frozenset(run.run_id for run in decided.planned if not _plan(db, run))
    return given_up, left_out


def _plan(db: sqlite3.Connection, run: PlannedRun) -> bool:
    taken = _slot_row(db, run)
    if taken is not None and taken["status"] != RunStatus.MISSED:
        return False
    return db.execute(SQL["plan"], planned_row(run)).rowcount > 0


def cursors(db: sqlite3.Connection) -> Mapping[str, int]:
    """Microseconds, by job."""
    return {row["job_id"]: row["at"] for row in db.execute(SQL["cursors"])}


def all_planned(db: sqlite3.Connection) -> Sequence[PlannedRun]:
    """By instant."""
    return tuple(planned_run(row) for row in db.execute(SQL["planned"]))


def drop(db: sqlite3.Connection, run_ids: Sequence[UUID]) -> None:
    """Forget plans."""
    db.executemany(SQL["unplan"], [{"run_id": str(run_id)} for run_id in run_ids])


def begun(db: sqlite3.Connection, claims: Sequence[Claim]) -> Collection[Claim]:
    """Those of which a run is recorded."""
    asked = ((claim, {"request_id": str(claim[0]), "claims": claim[1]}) for claim in claims)
    return {claim for claim, values in asked if db.execute(SQL["begun"], values).fetchone()[0]}


def unfinished(db: sqlite3.Connection) -> Sequence[LocalRun]:
    """Begun and not ended."""
    return tuple(local_run(row) for row in db.execute(SQL["unfinished"]))


def unreported_requests(db: sqlite3.Connection) -> Sequence[UUID]:
    """Held by a run or by a report."""
    return tuple(UUID(row["request_id"]) for row in db.execute(SQL["unreported_requests"]))


def prune(db: sqlite3.Connection, before: datetime) -> None:
    """Drop ended runs recorded earlier."""
    db.execute(SQL["prune_age"], {"before": micros(before)})
    db.execute(SQL["prune_notices"], {"before": micros(before)})


def give_back(db: sqlite3.Connection) -> bool:
    """Shorten the file by up to 4 MiB of its free pages; whether there is more to give.

    Some are kept: the next runs need them again.
    """
    before: int = db.execute(SQL["free_pages"]).fetchone()[0]
    if before <= FREE_PAGES_KEPT:
        return False
    for _ in range(min(before - FREE_PAGES_KEPT, 1024)):  # Python takes one step of a pragma without rows: one page
        db.execute(SQL["give_back"])
    after: int = db.execute(SQL["free_pages"]).fetchone()[0]
    return FREE_PAGES_KEPT < after < before  # no progress: a file that could not be made to shrink
