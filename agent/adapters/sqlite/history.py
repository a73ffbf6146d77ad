"""Looks at the local history, beside a running agent or without one. Never writes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from agent.adapters.sqlite.opening import explained, open_reader
from agent.adapters.sqlite.rows import local_run
from agent.adapters.sqlite.statements import SQL
from agent.model import LocalRun


async def read_runs(path: Path, *, job_id: str | None = None, limit: int = 50) -> Sequence[LocalRun]:
    """The last `limit` runs, newest first, of one job or of all; none when there is no journal yet.

    Raises `StateError`.
    """
    return await asyncio.to_thread(_read, path, "latest_runs", {"job_id": job_id, "limit": limit})


async def read_run(path: Path, first: UUID, last: UUID) -> Sequence[LocalRun]:
    """Runs whose id is in this range, at most two. Raises `StateError`."""
    return await asyncio.to_thread(_read, path, "runs_between", {"first": str(first), "last": str(last)})


def _read(path: Path, query: str, arguments: Mapping[str, str | int | None]) -> Sequence[LocalRun]:
    if not path.exists():
        return ()
    try:
        with contextlib.closing(open_reader(path)) as connection:
            rows = connection.execute(SQL[query], arguments)
            return tuple(local_run(row) for row in rows)
    except sqlite3.Error as error:
        raise explained(error, path) from error
