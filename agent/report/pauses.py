"""The two pauses: the operators', told by the beat, and the box's own, a file. Either one holds things back.

Both outlive a restart without a network. Each has its owner: who resumes one says nothing about the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import structlog

from agent.errors import StateError
from agent.model import Pause
from agent.ports import BoxPause, Clock, Notes

log = structlog.get_logger()

NOTE = "pause"
LOOK_EVERY_S = 1.0


class Pauses:
    """`agent.ports.PauseState`: what the last beat said and what stands on the box, `until` honoured by the clock."""

    def __init__(self, notes: Notes, clock: Clock, box: BoxPause, changed: Callable[[], None] = lambda: None) -> None:
        """`changed`: the box's own pause began, ended or became another one; must neither block nor raise."""
        self._notes = notes
        self._clock = clock
        self._box = box
        self._changed = changed
        self._told: Pause | None = None
        self._own: Pause | None = None

    @property
    def own(self) -> Pause | None:
        """The box's own, where it is in force."""
        return self._own

    async def load(self) -> None:
        """Take up what was known before the restart. Raises `StateError`."""
        self._told = parse(await self._notes.get(NOTE))
        self._own = self._in_force(self._box.read())
        if self._own:
            log.info("paused on this box", mode=self._own.mode, until=self._own.until)

    async def run(self) -> None:
        """Look at the box's own pause every second, for ever."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            own = self._in_force(self._box.read())
            if own != self._own:
                self._own = own
                log.info("paused on this box" if own else "resumed on this box", **_said(own))
                self._changed()

    async def learn(self, pause: Pause | None) -> None:
        """Take over what a beat said; written only when it differs. A note that cannot be written is only logged."""
        if pause == self._told:
            return
        self._told = pause
        log.info("paused" if pause else "resumed", **_said(pause))
        said = pause and {"mode": pause.mode, "until": pause.until and pause.until.isoformat()}
        try:
            await self._notes.put(NOTE, json.dumps(said))
        except StateError as error:
            log.warning("the pause will not survive a restart", error=str(error))

    def paused(self, what: str) -> bool:
        """`what`: `schedule` or `claims`; mode `schedule` pauses only the former."""
        pauses = [pause for pause in map(self._in_force, (self._told, self._own)) if pause is not None]
        return any(pause.mode == "all" or what == "schedule" for pause in pauses)

    def _in_force(self, pause: Pause | None) -> Pause | None:
        return pause if pause is not None and in_force(pause, self._clock.now()) else None


def parse(note: str | None) -> Pause | None:
    """The operators' pause as it is kept."""
    said = json.loads(note) if note else None
    if not said:
        return None
    return Pause(mode=said["mode"], until=said["until"] and datetime.fromisoformat(said["until"]))


def in_force(pause: Pause, now: datetime) -> bool:
    """Whether its time is not over."""
    return pause.until is None or pause.until > now


def _said(pause: Pause | None) -> dict[str, object]:
    return {} if pause is None else {"mode": pause.mode, "until": pause.until}
