"""A look at what the journal knows of the agent's state, beside a running agent or without one. Never writes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.adapters.sqlite.opening import explained, open_reader
from agent.adapters.sqlite.rows import from_text, local_run
from agent.adapters.sqlite.statements import SQL
from agent.model import LocalRun, Report

ASIDE_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Aside:
    """A report that the server refuses for good."""

    report: Report
    why: str


@dataclass(frozen=True, kw_only=True)
class Glance:
    """The journal at one moment."""

    notes: Mapping[str, str]
    """Those that were asked for and are there."""
    waiting: int = 0
    """Reports that Supabase has not acknowledged."""
    bytes: int = 0
    oldest_at: datetime | None = None
    """When the oldest of them happened."""
    aside: Sequence[Aside] = ()
    """The newest few that were set aside, of `aside_count`."""
    aside_count: int = 0
    running: Sequence[LocalRun] = ()


async def glance(path: Path, *notes: str) -> Glance:
    """Look at the journal at `path`; an empty glance when there is none yet. Raises `StateError`."""
    return await asyncio.to_thread(_glance, path, notes)


def _glance(path: Path, notes: Sequence[str]) -> Glance:
    if not path.exists():
        return Glance(notes={})
    try:
        with contextlib.closing(open_reader(path)) as db:
            waiting = db.execute(SQL["outbox_waiting"]).fetchone()
            aside = db.execute(SQL["set_aside_entries"], {"limit": ASIDE_SHOWN}).fetchall()
            return Glance(
                notes=_notes(db, notes),
                waiting=waiting["reports"],
                bytes=waiting["bytes"],
                oldest_at=_when(db, waiting["oldest"]),
                aside=tuple(Aside(report=from_text(row["report"]), why=row["aside"]) for row in aside),
                aside_count=aside[0]["total"] if aside else 0,
                running=tuple(local_run(row) for row in db.execute(SQL["running_now"])),
            )
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _notes(db: sqlite3.Connection, keys: Sequence[str]) -> Mapping[str, str]:
    rows = [(key, db.execute(SQL["get_note"], {"key": key}).fetchone()) for key in keys]
    return {key: str(row["value"]) for key, row in rows if row is not None}


def _when(db: sqlite3.Connection, seq: int | None) -> datetime | None:
    row = db.execute(SQL["entry"], {"seq": seq}).fetchone()
    if row is None:
        return None
    report = from_text(row["report"])
    return report.finished_at or report.started_at or report.scheduled_for
