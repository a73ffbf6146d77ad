"""Finds the run that a person means: by its id, the beginning of one, its request's id, or its job."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from agent.adapters.files import StateDir
from agent.adapters.sqlite import read_run, read_runs
from agent.adapters.supabase.people import People
from agent.errors import Refused
from agent.model import LocalRun

_SHORTEST = 4
"""Digits of an id that may be enough."""
_LOWEST = "00000000-0000-0000-0000-000000000000"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def id_range(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begin with `text`; None where no id can."""
    low = text.lower() + _LOWEST[len(text) :]
    if len(text) < _SHORTEST or not _ID.fullmatch(low):
        return None
    return UUID(low), UUID(text.lower() + _LOWEST.replace("0", "f")[len(text) :])


async def find_run(people: People, text: str) -> dict[str, Any] | None:
    """The row of `cron_runs`, or None; of a request its newest attempt. Raises `Refused` where several are meant."""
    if newest := await people.newest_run(text):
        return newest
    ids = id_range(text)
    if ids is None:
        return None
    runs = await people.runs_between(*ids)
    if len(runs) > 1:
        raise _several(text)
    if not runs:
        runs = await people.runs_between(*ids, of_requests=True)
        if len({row["request_id"] for row in runs}) > 1:
            raise _several(text)
    return runs[0] if runs else None


async def find_here(state: StateDir, text: str) -> LocalRun | None:
    """A run that this box remembers, or None. Raises `Refused` where several are meant, `StateError`."""
    newest = await read_runs(state.database, job_id=text, limit=1)
    ids = id_range(text)
    found = newest or (await read_run(state.database, *ids) if ids else ())
    if len(found) > 1:
        raise _several(text)
    return found[0] if found else None


def _several(text: str) -> Refused:
    return Refused(
        f'several runs begin with "{text}"', hint="Give more of the id; `cronmirror runs --json` has it whole."
    )
