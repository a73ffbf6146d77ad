"""Changes of rows, as Realtime tells them, turned into hints; and the small buffer the hints wait in.

A change is written by whoever may write the row: nothing in it is trusted, and nothing in it can raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from agent.model import Json, WakeKind, WakeUp

ROOM: Final = 256


class Wakes:
    """Hints in order of arrival, each once; never more than `ROOM`: beyond it they lose their request ids."""

    def __init__(self) -> None:
        self._waiting: dict[WakeUp, None] = {}
        self._some = asyncio.Event()

    def put(self, wake: WakeUp) -> None:
        """Add a hint, unless the same one waits already."""
        if len(self._waiting) >= ROOM and wake not in self._waiting:
            self._waiting = {WakeUp(kind=each.kind): None for each in [*self._waiting, wake]}
        else:
            self._waiting[wake] = None
        self._some.set()

    async def next(self) -> WakeUp:
        """Take the oldest hint; waits for one."""
        await self._some.wait()
        wake = next(iter(self._waiting))
        del self._waiting[wake]
        if not self._waiting:
            self._some.clear()
        return wake


def hint(record: Mapping[str, Json], project: str, agent_id: str) -> WakeUp | None:
    """What a new or changed row of `cron_run_requests` means for this agent; None: nothing.

    A row too large for Realtime comes without most of its columns: it may be a queued one.
    """
    if record.get("project_id", project) != project:
        return None
    request_id = _uuid(record.get("id"))
    if record.get("status", "queued") == "queued":
        return WakeUp(kind=WakeKind.QUEUED, request_id=request_id)
    mine = record.get("claimed_by") in (None, agent_id)
    if record.get("status") == "running" and record.get("cancel_requested_at") is not None and mine:
        return WakeUp(kind=WakeKind.CANCEL, request_id=request_id)
    return None


def _uuid(value: Json) -> UUID | None:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None
