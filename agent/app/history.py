"""The local history, for the command line."""

from __future__ import annotations

from agent.adapters.files import StateDir
from agent.adapters.sqlite import read_runs
from agent.model import LocalRun


async def read_history(state: StateDir, job_id: str | None, limit: int) -> tuple[LocalRun, ...]:
    """The last `limit` runs of one job or of all, newest first. Raises `StateError`."""
    return tuple(await read_runs(state.database, job_id=job_id, limit=limit))
