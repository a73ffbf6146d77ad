"""Remembers whether the project or this agent is paused, over restarts without a network too."""

from __future__ import annotations

import json
from datetime import datetime

import structlog

from agent.errors import StateError
from agent.model import Pause
from agent.ports import Clock, Notes

log = structlog.get_logger()

NOTE = "pause"


class Pauses:
    """`agent.ports.PauseState`: what the last beat said, `until` honoured by the clock."""

    def __init__(self, notes: Notes, clock: Clock) -> None:
        self._notes = notes
        self._clock = clock
        self._pause: Pause | None = None

    async def load(self) -> None:
        """Take up what was known before the restart. Raises `StateError`."""
        text = await self._notes.get(NOTE)
        said = json.loads(text) if text else None
        if said:
            until = said["until"] and datetime.fromisoformat(said["until"])
            self._pause = Pause(mode=said["mode"], until=until)

    async def learn(self, pause: Pause | None) -> None:
        """Take over what a beat said; written only when it differs. A note that cannot be written is only logged."""
        if pause == self._pause:
            return
        self._pause = pause
        log.info("paused" if pause else "resumed", mode=pause and pause.mode, until=pause and pause.until)
        said = pause and {"mode": pause.mode, "until": pause.until and pause.until.isoformat()}
        try:
            await self._notes.put(NOTE, json.dumps(said))
        except StateError as error:
            log.warning("the pause will not survive a restart", error=str(error))

    def paused(self, what: str) -> bool:
        """`what`: `schedule` or `claims`; mode `schedule` pauses only the former."""
        pause = self._pause
        if pause is None or (pause.until is not None and pause.until <= self._clock.now()):
            return False
        return pause.mode == "all" or what == "schedule"
