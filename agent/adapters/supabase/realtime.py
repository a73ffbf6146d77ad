"""Supervised Realtime: hints that something was queued or cancelled, and the truth about whether they can be relied on.

Every fault ends in the same way: the whole line is thrown away and a new one made, for ever, with a jittered backoff.
A hint may be lost (Realtime delivers at most once), so each new subscription says `RESUBSCRIBED`: look at everything.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from agent.adapters.supabase.line import Binding, Line, LineBroken
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.wakes import Wakes, hint
from agent.errors import CronmirrorError, NeedsSignIn
from agent.model import Json, WakeKind, WakeUp
from agent.ports import Clock

QUEUED_AGAIN: Final = "status=eq.queued"
CANCEL_ASKED: Final = "cancel_requested_at=gt.1970-01-01"
"""Realtime has no filter for "not null" that its older servers know; a comparison with null holds for no row."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How patient the supervisor is, in seconds."""

    tick_s: float = 1.0
    heartbeat_s: float = 15.0
    silence_s: float = 25.0
    """Without any frame for so long (a heartbeat is due within it) the line is dead."""
    listen_s: float = 20.0
    """For `Subscribed to PostgreSQL` after the join; 2.3 s were seen on a cold server."""
    probe_every_s: float = 180.0
    probe_wait_s: float = 20.0
    backoff_s: float = 1.0
    backoff_cap_s: float = 30.0
    steady_s: float = 30.0
    """A line that lived for so long lets the backoff begin anew."""


@dataclass(frozen=True, kw_only=True)
class _End:
    """Why a line ended, and how long the server wants to be left alone."""

    why: str
    retry_after_s: float | None = None
    token: str | None = None
    """The access token, where the server found fault with it."""
    cut: bool = False
    """We threw it away ourselves: the next one is made at once."""


class SupervisedRealtime:
    """`WakeUps` of `agent.ports`; `run()` keeps it alive."""

    def __init__(
        self,
        target: Target,
        session: Session,
        *,
        clock: Clock,
        project: str,
        agent_id: str,
        pace: Pace | None = None,
    ) -> None:
        self._target = target
        self._session = session
        self._clock = clock
        self._project = project
        self._agent_id = agent_id
        self._pace = pace or Pace()
        self._wakes = Wakes()
        self._probe = Probe(clock, self._pace)
        self._since: datetime | None = None
        self._why = "not connected yet"
        self._new_token: str | None = None
        self._cut = asyncio.Event()
        self._hurried = asyncio.Event()
        self._reconnects: Json = None
        self._on_reconnect: Callable[[], None] = lambda: None
        session.on_change(self._take_token)

    # ── what others ask ──────────────────────────────────────────────────────

    @property
    def healthy(self) -> bool:
        """True after `Subscribed to PostgreSQL` and as long as probes come back."""
        return self._since is not None and not self._probe.doubtful

    @property
    def reason(self) -> str:
        """For status: `connected since …` or `polling: <why>`."""
        if self._since is None:
            waiting = self._session.problem
            return f"polling: not signed in: {waiting}" if waiting else f"polling: {self._why}"
        if self._probe.doubtful:
            return "polling: connected, but the last probe did not come back"
        return f"connected since {self._since.isoformat(timespec='seconds')}"

    async def next(self) -> WakeUp:
        """The next hint. Duplicates are collapsed; nothing is ever raised."""
        return await self._wakes.next()

    def want_probe(self) -> bool:
        """Whether the next beat should bump `cron_agents.probe_at`; then call `probe_sent`."""
        return self._since is not None and self._probe.wanted()

    def probe_sent(self, at: datetime) -> None:
        """The beat that carried the probe was answered; `at`, its time, is for the log."""
        self._probe.sent(at)

    def rebuild(self, why: str) -> None:
        """Throw the line away without a word and make a new one at once: the machine slept."""
        self._why = why
        self._cut.set()
        self._hurried.set()

    def hurry(self) -> None:
        """Sit out no backoff: the server answers again."""
        self._hurried.set()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Who hears that somebody asks something of this agent's connections; must neither block nor raise."""
        self._on_reconnect = callback

    # ── the loop ─────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Connect, watch, throw away, again. Ends by cancellation only."""
        tries = 0
        while True:
            began = self._clock.monotonic()
            end = await self._live()
            if end.cut:
                tries = 0
                _log.info("realtime is built anew", why=end.why)
                continue
            steady = self._clock.monotonic() - began >= self._pace.steady_s
            tries = 1 if steady else tries + 1
            wait_s = self._delay_s(tries, end.retry_after_s)
            log = _log.warning if tries == 1 else _log.debug
            log("realtime is down, polling instead", why=end.why, tries=tries, retry_in_s=round(wait_s, 1))
            await self._mend_token(end)
            await self._rest(wait_s, cut_short=end.retry_after_s is None)

    async def _live(self) -> _End:
        """One line from its beginning to its end."""
        line = Line(
            self._target.socket_url,
            self._target.key,
            # A topic nobody can guess: whoever holds the public key may broadcast to any that he can name.
            f"cronmirror:{self._project}:{self._agent_id}:{secrets.token_hex(8)}",
            self._bindings(),
            self._listening,
        )
        self._cut.clear()
        self._hurried.clear()
        tasks = asyncio.ensure_future(self._lived(line)), asyncio.ensure_future(self._cut.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = _End(why=self._why, cut=True) if self._cut.is_set() else tasks[0].result()
            self._why = end.why  # before the close, which takes a while where nobody answers
            return end
        finally:
            self._since = None
            self._probe.forget()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await line.close(politely=not self._cut.is_set())

    async def _rest(self, seconds: float, *, cut_short: bool) -> None:
        """Until then, or until somebody knows that it is worth another try."""
        if not cut_short:
            await self._clock.sleep(seconds)
            return
        waits = asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._hurried.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _lived(self, line: Line) -> _End:
        try:
            token = await self._session.token()
            self._new_token = None
            await line.open(token)
            why = await self._watch(line)
        except LineBroken as err:
            return _End(why=str(err), retry_after_s=err.retry_after_s)
        except CronmirrorError as err:
            return _End(why=str(err))
        return _End(why=why, token=token if _about_token(why) else None)

    async def _watch(self, line: Line) -> str:
        """Return why the line has to go."""
        clock, pace = self._clock, self._pace
        opened = heard = asked = clock.monotonic()
        frames = line.frames
        while True:
            await clock.sleep(pace.tick_s)
            now = clock.monotonic()
            if line.frames != frames:
                frames, heard = line.frames, now
            if fault := self._fault(line, silent_s=now - heard, open_s=now - opened):
                return fault
            if now - asked >= pace.heartbeat_s:
                asked = now
                await line.heartbeat()
            if self._new_token is not None:
                token, self._new_token = self._new_token, None
                await line.give_token(token)

    def _fault(self, line: Line, *, silent_s: float, open_s: float) -> str | None:
        if line.down is not None:
            return line.down
        if silent_s >= self._pace.silence_s:
            return f"no answer to heartbeats for {silent_s:.0f} s"
        if self._since is None and open_s >= self._pace.listen_s:
            return "Realtime joined, but never said that it listens to the database"
        if self._probe.overdue():
            return "a change that the agent made itself did not come back (the probe)"
        return None

    async def _mend_token(self, end: _End) -> None:
        if end.token is None:
            return
        try:
            await self._session.renew(end.token)
        except NeedsSignIn as err:
            self._why = str(err)

    def _delay_s(self, tries: int, wish_s: float | None) -> float:
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        backoff_s = min(self._pace.backoff_cap_s, self._pace.backoff_s * 2.0 ** min(tries - 1, 10)) * jitter
        return max(backoff_s, (wish_s or 0.0) + jitter if wish_s else 0.0)

    # ── called by the line: must neither block nor raise ─────────────────────

    def _bindings(self) -> list[Binding]:
        """Only what can wake us: of the changes of a run, begun and ended here, none has to come back to us.

        One filter each, with operators as old as Realtime's filters; of two projects of this user `hint` takes ours.
        """
        mine = f"project_id=eq.{self._project}"
        requests = [
            Binding(event=event, table="cron_run_requests", filter=only, on_record=self._request_changed)
            for event, only in (("INSERT", mine), ("UPDATE", QUEUED_AGAIN), ("UPDATE", CANCEL_ASKED))
        ]
        return [*requests, Binding(event="UPDATE", table="cron_agents", filter=mine, on_record=self._agent_changed)]

    def _listening(self) -> None:
        if self._since is None:
            self._since = self._clock.now()
            self._probe.begin()
            _log.info("realtime is connected")
        self._wakes.put(WakeUp(kind=WakeKind.RESUBSCRIBED))

    def _request_changed(self, record: Mapping[str, Json]) -> None:
        if wake := hint(record, self._project, self._agent_id):
            self._wakes.put(wake)

    def _agent_changed(self, record: Mapping[str, Json]) -> None:
        if record.get("agent_id") == self._agent_id and record.get("project_id") == self._project:
            self._probe.seen()
            asked, self._reconnects = self._reconnects, record.get("reconnects")
            if self._reconnects != asked:
                self._on_reconnect()

    def _take_token(self, token: str) -> None:
        self._new_token = token


class Probe:
    """The proof that changes arrive: the agent bumps its own row and must see an update of it.

    Any update of the row after the asking will do; it may come before the beat's own answer.
    """

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._due = 0.0
        self._deadline: float | None = None
        self._asked = False
        self.doubtful = False
        """The last probe did not come back, and nothing has since."""

    def begin(self) -> None:
        """A new subscription: prove it with the next beat."""
        self._due = self._clock.monotonic()

    def forget(self) -> None:
        """The line is gone: a probe under way proves nothing."""
        self._deadline = None
        self._asked = False

    def wanted(self) -> bool:
        """Whether one is due; asking arms it."""
        self._asked = self._deadline is None and self._clock.monotonic() >= self._due
        return self._asked

    def sent(self, at: datetime) -> None:
        """It is on its way: count from now."""
        self._due = self._clock.monotonic() + self._pace.probe_every_s
        if self._asked:
            self._deadline = self._clock.monotonic() + self._pace.probe_wait_s
            _log.debug("probe sent", at=at.isoformat())

    def seen(self) -> None:
        """Our own row came by."""
        self.forget()
        self.doubtful = False

    def overdue(self) -> bool:
        """Whether it has been awaited for too long; from then on the line is doubtful until one comes back."""
        if self._deadline is None or self._clock.monotonic() < self._deadline:
            return False
        self._deadline = None
        self.doubtful = True
        return True


def _about_token(why: str) -> bool:
    """Realtime names its reason in words only: `Token has expired 0 seconds ago`, `InvalidJWTToken: …`."""
    return "token" in why.lower() or "jwt" in why.lower()
