"""Looks at the local history, beside a running agent or without one. Never writes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from agent.adapters.sqlite.opening import explained, open_reader
from agent.adapters.sqlite.rows import local_run
from agent.adapters.sqlite.statements import SQL
from agent.model import LocalRun


async def read_runs(path: Path, *, job_id: str | None = None, limit: int = 50) -> Sequence[LocalRun]:
    """The last `limit` runs, newest first, of one job or of all; none when there is no journal yet.

    Raises `StateError`.
    """
    return await asyncio.to_thread(_read, path, job_id, limit)


def _read(path: Path, job_id: str | None, limit: int) -> Sequence[LocalRun]:
    if not path.exists():
        return ()
    try:
        with contextlib.closing(open_reader(path)) as connection:
            rows = connection.execute(SQL["latest_runs"], {"job_id": job_id, "limit": limit})
            return tuple(local_run(row) for row in rows)
    except sqlite3.Error as error:
        raise explained(error, path) from error
