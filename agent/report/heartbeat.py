"""Hello once, then a beat every 15 s: liveness, lease renewal, and the news (cancelled, lost, due, paused).

Tries for ever. It ends only where another process is this agent: at the first hello (`HelloRefused`) or later
(`Superseded`); going on would run every schedule twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

import structlog

from agent.errors import (
    CronmirrorError,
    Forgotten,
    HelloRefused,
    PermanentError,
    StateError,
    Superseded,
    TemporaryError,
)
from agent.model import AgentState, BeatReply, Hello, HelloReply, Json
from agent.pace import backoff, first, within
from agent.ports import BeatCall, Clock, HelloCall, Jobs, Runner
from agent.report.link import Link
from agent.report.pauses import Pauses
from agent.report.skew import Skew

log = structlog.get_logger()

BEAT_S = 15.0
LAST_BEAT_S = 3.0


class AgentCalls(HelloCall, BeatCall, Protocol):
    """What the heartbeat says to Supabase."""


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """Where a beat's words come from, asked anew for each."""

    runner: Runner
    jobs: Jobs
    realtime_healthy: Callable[[], bool]
    config_error: Callable[[], str | None]
    draining: Callable[[], bool]
    """Whether nothing begins any more."""
    outage: Callable[[], Mapping[str, Json] | None]
    """The last one (report/outages.py)."""
    want_probe: Callable[[], bool]
    known: Callable[[], Awaitable[Sequence[UUID]]]
    """Requests whose run has begun here and is not reported to its end. May raise `StateError`."""


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Who hears the answers, in this order; they must neither block nor raise."""

    hello: Sequence[Callable[[HelloReply], None]] = ()
    beat: Sequence[Callable[[BeatReply], None]] = ()
    again: Sequence[Callable[[], None]] = ()
    """A beat was answered after some that were not: nobody sits out a backoff of his own any longer."""
    silent: Sequence[Callable[[CronmirrorError], None]] = ()
    """A hello or beat was not answered, or refused."""


class Heartbeat:
    """The agent's life sign. `ended` is set once another process is this agent; `run` then only waits."""

    def __init__(
        self,
        calls: AgentCalls,
        greeting: Callable[[], Awaitable[Hello]],
        vitals: Vitals,
        listeners: Listeners,
        link: Link,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._greeting = greeting
        self._vitals = vitals
        self._listeners = listeners
        self._link = link
        self._pauses = pauses
        self._clock = clock
        self._skew = Skew()
        self._wanted = asyncio.Event()
        self._hurried = asyncio.Event()
        self._failures = 0
        self._forgiven = 0
        """Failures of before a wake-up: they do not lengthen the backoff."""
        self._silent = False
        self._last_said = ""
        self._known = False
        self.ended = asyncio.Event()
        self.why: PermanentError | None = None
        """Why it ended: `HelloRefused` or `Superseded`."""

    @property
    def skew_ms(self) -> int | None:
        """By how much our clock is ahead of the server's; None until it was measured."""
        return self._skew.ms

    async def run(self) -> None:
        """Hello, then beats, until cancelled."""
        try:
            while True:
                if not self._known:
                    await self._greet()
                if await self._beat():
                    await self._until_next()
                else:
                    await self._rest()
        except (Superseded, HelloRefused) as error:
            log.error("another process is this agent; this one runs nothing", error=str(error), hint=error.hint)  # noqa: TRY400 - its traceback says nothing
            self._link.supersede()
            self.why = error
            self.ended.set()
        await asyncio.Event().wait()

    def beat_now(self) -> None:
        """Do not wait for the next beat: somebody asked for a cancellation."""
        self._wanted.set()

    def wake(self) -> None:
        """Beat now, also in the midst of a backoff, which begins anew: the machine slept, or sign-in works again."""
        self._forgiven = self._failures
        self._wanted.set()
        self._hurried.set()

    def hurry(self) -> None:
        """Sit out no backoff; where all is well, nothing is sent for it."""
        self._hurried.set()

    async def stop(self) -> None:
        """A last beat that says `stopped`, within 3 s; for after `run` was cancelled. Never raises our errors."""
        if not self._link.accepted:
            return
        try:
            await within(self._clock, LAST_BEAT_S, self._say("stopped"))
        except CronmirrorError as error:
            log.debug("the last beat was not heard", error=str(error))

    async def _greet(self) -> None:
        while True:
            try:
                reply = await self._calls.hello(await self._greeting())
            except (Superseded, HelloRefused):
                raise
            except CronmirrorError as error:
                self._failed("hello", error)
                await self._rest()
                continue
            self._succeeded()
            self._known = True
            log.info(
                "Supabase knows this agent",
                epoch=reply.epoch,
                role=reply.role,
                requeued=len(reply.requeued),
                lost=len(reply.lost),
            )
            for listener in self._listeners.hello:
                listener(reply)
            return

    async def _beat(self) -> bool:
        self._wanted.clear()
        asked_at = self._clock.now()
        try:
            reply = await self._say("draining" if self._vitals.draining() else "online")
        except Superseded:
            raise
        except CronmirrorError as error:
            self._failed("beat", error)
            self._known = not isinstance(error, Forgotten)
            self._link.lost()
            return False
        self._succeeded()
        self._skew.measure(asked_at, self._clock.now(), reply.server_time)
        await self._pauses.learn(reply.pause)
        self._link.reached()
        for listener in self._listeners.beat:
            listener(reply)
        if self._silent:
            self._silent = False
            self._link.recovered()
            for hurry in self._listeners.again:
                hurry()
        return True

    async def _rest(self) -> None:
        """Wait before the next try; agents that lost the server together come back spread over half the backoff."""
        self._hurried.clear()
        wait_s = backoff(max(1, self._failures - self._forgiven), cap_s=BEAT_S)
        await first(self._clock.sleep(wait_s), self._hurried.wait())

    async def _say(self, state: Literal["online", "draining", "stopped"]) -> BeatReply:
        vitals = self._vitals
        running = vitals.runner.running()
        known = None if state == "online" else await self._known_requests()
        return await self._calls.beat(
            [run for run in running if run.request_id is not None],
            AgentState(
                state=state,
                realtime="connected" if vitals.realtime_healthy() else "polling",
                running=len(running),
                jobs=len(vitals.jobs.all()),
                config_error=vitals.config_error(),
                clock_skew_ms=self._skew.ms,
                probe=vitals.want_probe(),
                pause=self._pauses.own,
                outage=vitals.outage(),
                known=known,
            ),
            vitals.runner.claimable(),
        )

    async def _known_requests(self) -> tuple[UUID, ...] | None:
        """Nothing begins any more: all else that this agent holds may go back to the queue."""
        try:
            return tuple(await self._vitals.known())
        except StateError as error:
            log.warning("what waits here is handed back by the next start", error=str(error))
            return None

    async def _until_next(self) -> None:
        await first(self._clock.sleep(BEAT_S), self._wanted.wait(), self._link.wait_lost())
        if not self._link.accepted:  # somebody else's call failed: look soon, but not in step with their retries
            await self._clock.sleep(backoff(1, cap_s=BEAT_S))

    def _failed(self, what: str, error: CronmirrorError) -> None:
        """Say each trouble once: the first time, and when it becomes another one."""
        self._failures += 1
        self._silent = True
        for listener in self._listeners.silent:
            listener(error)
        if str(error) == self._last_said:
            return
        self._last_said = str(error)
        said = log.warning if isinstance(error, TemporaryError) else log.error
        said(f"{what} failed; trying again", error=str(error), hint=error.hint)

    def _succeeded(self) -> None:
        if self._last_said:
            log.info("Supabase answers again", failures=self._failures)
        self._failures = self._forgiven = 0
        self._last_said = ""
