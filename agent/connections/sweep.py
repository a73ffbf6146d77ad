"""Looks after every connection again and again, so that runs find fresh tokens and a dead login is noticed in time.

One that fails never stops the others. What other processes do to a connection is noticed within seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.connections import policy
from agent.connections.keeper import Keeper
from agent.connections.ledger import Ledger
from agent.errors import StateError
from agent.model import Connection, Job, Refreshed, Thresholds, Tokens
from agent.pace import first
from agent.ports import Clock, Connections, Jobs

LOOK_EVERY_S = 2.0
"""How soon a sign-in in another process releases held jobs."""
AT_ONCE = 8
"""So many providers are asked at the same time."""

NextRun = Callable[[Job, datetime], datetime | None]

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Ids by what came of looking after them."""

    refreshed: Sequence[str]
    failed: Sequence[str]
    skipped: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What the schedule will want: the jobs, and when each runs next."""

    jobs: Jobs
    next_run: NextRun


class Sweep:
    """The sweep's loop, and one sweep for whoever wants one now."""

    def __init__(
        self,
        keeper: Keeper,
        ledger: Ledger,
        connections: Connections,
        clock: Clock,
        *,
        ahead: Ahead,
        thresholds: Callable[[], Thresholds],
        revision: Callable[[], object],
    ) -> None:
        """`revision` is another one after every change that any process makes to this box's memory of connections."""
        self._keeper = keeper
        self._ledger = ledger
        self._connections = connections
        self._clock = clock
        self._jobs = ahead.jobs
        self._next_run = ahead.next_run
        self._thresholds = thresholds
        self._revision = revision
        self._room = asyncio.Semaphore(AT_ONCE)
        self._definitions: dict[str, Connection] = {}
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """Sweep at once: the machine was asleep, and tokens have expired meanwhile."""
        self._kicked.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever(), name="connection sweep")
            tasks.create_task(self._watch(), name="connection watch")

    async def once(self) -> Swept:
        """Look after all of them now, side by side."""
        connections = self._connections.all()
        wanted = self._wanted()
        outcomes = await asyncio.gather(*(self._one(each, wanted.get(each.connection_id, ())) for each in connections))
        by: dict[Refreshed, list[str]] = {outcome: [] for outcome in Refreshed}
        for connection, outcome in zip(connections, outcomes, strict=True):
            by[outcome].append(connection.connection_id)
        swept = Swept(refreshed=by[Refreshed.REFRESHED], failed=by[Refreshed.FAILED], skipped=by[Refreshed.SKIPPED])
        say = log.info if swept.refreshed or swept.failed else log.debug
        say("connections swept", refreshed=len(swept.refreshed), failed=len(swept.failed), skipped=len(swept.skipped))
        return swept

    async def _sweep_for_ever(self) -> None:
        revision = self._jobs.revision
        while True:
            await self._try_mended()
            await self.once()
            every_s = self._thresholds().sweep_every_s
            await first(self._clock.sleep(every_s), self._jobs.wait_changed(revision), self._kicked.wait())
            self._kicked.clear()
            if self._jobs.revision != revision:
                revision = self._jobs.revision
                await self._keeper.load()

    async def _try_mended(self) -> None:
        """Where a person is needed, and has changed the YAML or started us anew: perhaps that mended it."""
        known, self._definitions = self._definitions, {each.connection_id: each for each in self._connections.all()}
        for name, connection in self._definitions.items():
            if known.get(name) != connection and self._ledger.get(connection).needs_reauth:
                await self._guarded(connection, self._keeper.refresh_now(name))

    async def _watch(self) -> None:
        seen = self._revision()
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if (now := self._revision()) != seen:
                seen = now
                await self._keeper.load()

    async def _one(self, connection: Connection, wanted: Iterable[tuple[datetime, float]]) -> Refreshed:
        def due(tokens: Tokens, now: datetime) -> bool:
            thresholds = self._thresholds()
            return (
                policy.due_for_sweep(tokens, now, thresholds)
                or policy.idle(tokens, self._ledger.used_at(connection), now, thresholds)
                or any(policy.due_for_plan(tokens, now, begins, long, thresholds) for begins, long in wanted)
            )

        async def look() -> Refreshed:
            async with self._room:
                return (await self._keeper.look_after(connection, due)).outcome

        return await self._guarded(connection, look())

    async def _guarded(self, connection: Connection, look: Awaitable[Refreshed]) -> Refreshed:
        try:
            return await look
        except StateError as err:
            log.warning("a connection could not be looked after", connection=connection.connection_id, error=str(err))
            return Refreshed.FAILED

    def _wanted(self) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """By connection: when runs that use it will begin, and how long each may take."""
        now = self._clock.now()
        wanted: dict[str, list[tuple[datetime, float]]] = {}
        for job in self._jobs.all():
            if job.connection and job.enabled and (begins := self._next_run(job, now)) is not None:
                wanted.setdefault(job.connection, []).append((begins, job.timeout_s))
        return wanted
