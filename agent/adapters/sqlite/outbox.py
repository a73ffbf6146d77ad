"""Transactions on the outbox. Plain functions of a connection; they run in the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from agent.adapters.sqlite.rows import from_text, has_output, to_text, without_output
from agent.adapters.sqlite.statements import SQL
from agent.model import OutboxEntry, Report, Verdict, VerdictKind


def _size(text: str) -> int:
    return len(text.encode())


def enqueue(db: sqlite3.Connection, report: Report, limit_bytes: int) -> int:
    """Append a report; beyond the limit give up the oldest outputs, never outcomes. Returns how many were given up."""
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
    return given_up


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
