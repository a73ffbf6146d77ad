"""Transactions on the outbox. Plain functions of a connection; they run in the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import structlog

from agent.adapters.sqlite.rows import from_text, has_output, to_text, without_output
from agent.adapters.sqlite.statements import SQL
from agent.model import OutboxEntry, Report, Verdict, VerdictKind

log = structlog.get_logger()

DROPPED_AT_ONCE = 500
"""Finding them reads the whole outbox: not for each report anew."""
NEVER_TOLD = "never told: the outbox was full"


def _size(text: str) -> int:
    return len(text.encode())


def enqueue(db: sqlite3.Connection, report: Report, limit_bytes: int) -> int:
    """Append a report; beyond the limit give up the oldest outputs. Returns how many were given up.

    Outcomes are given up only where no output is left to give up (about 170,000 of them), and never a request's.
    """
    text = to_text(report)
    size = _size(text)
    db.execute(
        SQL["enqueue"],
        {
            "run_id": str(report.run_id),
            "request_id": None if report.request_id is None else str(report.request_id),
            "report": text,
            "bytes": size,
            "output_bytes": size - _size(to_text(without_output(report))) if has_output(report) else 0,
        },
    )
    return _shrink(db, limit_bytes)


def _shrink(db: sqlite3.Connection, limit_bytes: int) -> int:
    given_up = 0
    excess = db.execute(SQL["outbox_size"]).fetchone()[0] - limit_bytes
    while excess > 0 and (rows := db.execute(SQL["oldest_outputs"]).fetchall()):
        for row in rows:
            _strip(db, row["seq"], row["report"])
            given_up += 1
            excess -= row["output_bytes"]
            if excess <= 0:
                break
    if excess > 0:
        _drop(db)
    return given_up


def _drop(db: sqlite3.Connection) -> None:
    """What did not run goes first, then the oldest; a request's report stays, or its request would run again."""
    dropped = 0
    for row in db.execute(SQL["least_missed"], {"limit": DROPPED_AT_ONCE}).fetchall():
        db.execute(SQL["reject_run"], {"seq": row["seq"], "why": NEVER_TOLD})
        db.execute(SQL["dequeue"], {"seq": row["seq"]})
        dropped += 1
    if dropped:
        log.error("the outbox is full: old reports were given up, the local history keeps them", reports=dropped)


def _strip(db: sqlite3.Connection, seq: int, text: str) -> None:
    bare = to_text(without_output(from_text(text)))
    db.execute(SQL["replace_report"], {"seq": seq, "report": bare, "bytes": _size(bare)})


def pending(db: sqlite3.Connection, limit: int, max_bytes: int) -> Sequence[OutboxEntry]:
    """The oldest entries within both limits, at least one when there is one."""
    entries: list[OutboxEntry] = []
    left = max_bytes
    for row in db.execute(SQL["pending"], {"limit": limit}):
        left -= row["bytes"]
        if left < 0 and entries:
            break
        entry = OutboxEntry(seq=row["seq"], report=from_text(row["report"]), without_output=bool(row["without_output"]))
        entries.append(entry)
    return tuple(entries)


def has_pending(db: sqlite3.Connection) -> bool:
    """Whether there is anything to send."""
    return bool(db.execute(SQL["has_pending"]).fetchone()[0])


def newest(db: sqlite3.Connection) -> int:
    """Seq of the youngest entry to send; 0 when there is none."""
    seq: int = db.execute(SQL["newest_pending"]).fetchone()[0]
    return seq


def settle(db: sqlite3.Connection, verdicts: Mapping[int, Verdict]) -> None:
    """Drop what was answered; keep why something was rejected."""
    for seq, verdict in verdicts.items():
        if verdict.kind is VerdictKind.REJECTED:
            db.execute(SQL["reject_run"], {"seq": seq, "why": verdict.why or "rejected"})
        db.execute(SQL["dequeue"], {"seq": seq})


def strip_output(db: sqlite3.Connection, seq: int) -> None:
    """Keep the outcome of one entry alone."""
    row = db.execute(SQL["entry"], {"seq": seq}).fetchone()
    if row is not None:
        _strip(db, seq, row["report"])


def set_aside(db: sqlite3.Connection, seq: int, why: str) -> None:
    """Keep one entry, never send it again."""
    db.execute(SQL["set_aside"], {"seq": seq, "why": why})
