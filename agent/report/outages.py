"""How this agent is, for whoever looks later: its last sign of life, whether Supabase answers, and the last outage.

An outage is a time in which Supabase did not hear this agent: the network or Supabase was away, the machine slept, or
the agent did not run. It ends with the first beat that is answered, and what belongs together is one outage: a box
that was off and then waited for its router was down once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from agent.errors import CronmirrorError, StateError
from agent.model import BeatReply, Json, Reason
from agent.pace import first
from agent.ports import Clock, Notes

log = structlog.get_logger()

LIFE_NOTE = "life"
OUTAGE_NOTE = "last_outage"
ALIVE_EVERY_S = 60.0
WORTH_TELLING_S = 30.0
SETTLE_S = 2.0
"""After the return: so long the schedule gets to decide the slots of the meantime."""


@dataclass(kw_only=True)
class _Open:
    """An outage that is not over."""

    since: datetime
    seconds: dict[str, float] = field(default_factory=dict)
    """cause → how long it was the cause; the rest is `offline`."""
    missed: int = 0

    def cause(self, total_s: float) -> str:
        """What took most of the time."""
        shares = {Reason.OFFLINE.value: total_s - sum(self.seconds.values()), **self.seconds}
        return max(shares, key=lambda cause: shares[cause])


class Outages:
    """Hears of beats, silence, sleep and missed slots; keeps two notes. `told`: there is a report to show."""

    def __init__(self, notes: Notes, clock: Clock, told: Callable[[], None], realtime: Callable[[], str]) -> None:
        """`realtime`: how Realtime is, in words."""
        self._notes = notes
        self._clock = clock
        self._told = told
        self._realtime = realtime
        self._answered_at = clock.now()
        self._open: _Open | None = None
        self._over: tuple[_Open, datetime, int] | None = None
        self._life: dict[str, Json] = {"answers": False, "since": clock.now().isoformat(), "why": None, "skew_ms": None}
        self._news = asyncio.Event()
        self.last: Mapping[str, Json] | None = None
        """`{"from", "to", "cause", "slots_missed", "requests_waiting"}`, as beats and `info.last_outage` have it."""

    async def load(self) -> None:
        """At start: find out for how long nobody was here. Raises `StateError`."""
        self.last = json.loads(await self._notes.get(OUTAGE_NOTE) or "null")
        before = json.loads(await self._notes.get(LIFE_NOTE) or "null")
        now = self._clock.now()
        if before:
            alive = datetime.fromisoformat(before["alive"])
            self._life["skew_ms"] = before.get("skew_ms")
            if (down_s := (now - alive).total_seconds()) > ALIVE_EVERY_S + WORTH_TELLING_S:
                self._open = _Open(since=alive, seconds={Reason.AGENT_DOWN.value: down_s})

    async def run(self) -> None:
        """Write down what is new, and once a minute that somebody lives; for ever."""
        while True:
            self._news.clear()
            await self.note()
            await first(self._clock.sleep(ALIVE_EVERY_S), self._news.wait())
            if self._over is not None:
                await self._clock.sleep(SETTLE_S)
                await self._report()

    async def note(self) -> None:
        """A sign of life. A note that cannot be written is only logged."""
        life = {**self._life, "alive": self._clock.now().isoformat(), "realtime": self._realtime()}
        await self._put(LIFE_NOTE, life)

    # ── what it hears; nothing here blocks or raises ────────────────────────

    def on_beat(self, reply: BeatReply, skew_ms: int | None) -> None:
        """Supabase heard us."""
        now = self._clock.now()
        self._answered_at = now
        if self._open is not None:
            if (now - self._open.since).total_seconds() > WORTH_TELLING_S:
                self._over = (self._open, now, reply.due)
                self._news.set()
            self._open = None
        self._shown(answers=True, why=None, skew_ms=skew_ms)

    def on_silence(self, error: CronmirrorError) -> None:
        """A beat or hello was not answered, or refused."""
        if self._open is None:
            self._open = _Open(since=self._answered_at)
        self._shown(answers=False, why=str(error), skew_ms=self._life["skew_ms"])

    def on_jump(self, ahead_s: float) -> None:
        """The machine slept for so long."""
        if ahead_s <= 0:
            return
        if self._open is None:
            self._open = _Open(since=self._clock.now() - timedelta(seconds=ahead_s))
        slept = self._open.seconds
        slept[Reason.ASLEEP.value] = slept.get(Reason.ASLEEP.value, 0.0) + ahead_s

    def on_missed(self, slots: int) -> None:
        """So many slots were missed for another reason than a pause."""
        outage = self._open or (self._over and self._over[0])
        if outage:
            outage.missed += slots

    # ────────────────────────────────────────────────────────────────────────

    def _shown(self, *, answers: bool, why: str | None, skew_ms: Json) -> None:
        life = self._life
        if life["answers"] != answers:
            life["since"] = self._clock.now().isoformat()
        if (life["answers"], life["why"], life["skew_ms"]) != (answers, why, skew_ms):
            life |= {"answers": answers, "why": why, "skew_ms": skew_ms}
            self._news.set()

    async def _report(self) -> None:
        assert self._over is not None  # noqa: S101 - asked just before
        (outage, end, waiting), self._over = self._over, None
        total_s = (end - outage.since).total_seconds()
        facts: dict[str, Json] = {
            "from": outage.since.isoformat(timespec="seconds"),
            "to": end.isoformat(timespec="seconds"),
            "cause": outage.cause(total_s),
            "slots_missed": outage.missed,
            "requests_waiting": waiting,
        }
        log.warning("back after an outage", seconds=round(total_s), **facts)
        self.last = facts
        await self._put(OUTAGE_NOTE, facts)
        self._told()

    async def _put(self, key: str, value: Mapping[str, Json]) -> None:
        try:
            await self._notes.put(key, json.dumps(value))
        except StateError as error:
            log.warning("a note about this agent's life could not be written", note=key, error=str(error))
