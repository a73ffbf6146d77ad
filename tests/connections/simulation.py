"""Fifty connections of five minutes to sixty days: `python -m tests.connections.simulation [HOURS [SEED]]`.

Each sweep and each run is an event of a queue; time leaps from one to the next, and over what one waits for. 1 % of the
provider's answers are faults, it takes its time or is down now and then, and people revoke what they have granted; what
the agent does is compared with what was possible.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog

from agent.connections.policy import expired
from agent.model import Connection, Failure, FailureKind, Job, Thresholds
from tests.support.fake_connections import BUSY, FakeProvider, Keeping, a_connection, a_failure, a_job

T = TypeVar("T")

TURNS = 30
"""Of the event loop, after which whatever still waits, waits for time."""
CONNECTIONS = 50
SHORTEST_S, LONGEST_S = 300.0, 60 * 86_400.0
SWEEP_EVERY_S = Thresholds().sweep_every_s
FAULTS = 0.01
"""Of all answers."""
SLOW_S = 20.0
"""So long the next answer may take, by the same chance."""
OUTAGE = 0.000_2
"""Chance of an outage of one provider, per sweep; up to an hour."""
REVOKED_EVERY_S = 2_000_000.0
"""On average, per connection."""
FAILURES = (
    BUSY,
    replace(BUSY, retry_after_s=30.0),
    a_failure(code="http_500"),
    a_failure(code="timeout"),
    a_failure(code="temporarily_unavailable"),
    a_failure(FailureKind.PERMANENT, "invalid_client"),
)
"""One wrong `invalid_client` is a fault of the provider; three in a row would be the truth."""


class LeapClock:
    """Time goes on when nothing else does."""

    def __init__(self) -> None:
        self._start = datetime(2026, 1, 1, tzinfo=UTC)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.at_s = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.at_s)

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at_s + seconds, next(self._order), woken))
        await woken

    async def through(self, work: Coroutine[Any, Any, T]) -> T:
        """To the end of it, leaping over what it waits for."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for _ in range(TURNS):
                await asyncio.sleep(0)
                if task.done():
                    break
            else:
                self._leap()
        return task.result()

    def _leap(self) -> None:
        while self._sleepers:
            due, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self.at_s = max(self.at_s, due)
                woken.set_result(None)
                return


@dataclass
class Seen:
    """How much of a life there was."""

    runs: int = 0
    stale: int = 0
    """Runs with an expired token that nothing could have refreshed just then."""
    refreshes: int = 0
    failures: int = 0
    revoked: int = 0
    reconnected: int = 0


@dataclass
class Life:
    """One agent's."""

    hours: float
    seed: int
    faults: list[str] = field(default_factory=list)
    """What must not be."""
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - the same life again
        self._clock = LeapClock()
        self._down_until: dict[str, float] = {}
        self._revoked: set[str] = set()
        self._last: dict[str, Failure | None] = {}
        """By connection: what its provider said last."""
        steps = (LONGEST_S / SHORTEST_S) ** (1 / (CONNECTIONS - 1))
        connections = [a_connection(f"c{number}") for number in range(CONNECTIONS)]
        lifetimes = {each.connection_id: SHORTEST_S * steps**number for number, each in enumerate(connections)}
        provider = FakeProvider(self._clock, lifetime_s=dict(lifetimes), fault=self._answer)
        self._keeping = Keeping(*connections, clock=self._clock, provider=provider, next_run=self._next_run)  # type: ignore[arg-type]
        self._jobs = {each.connection_id: self._job(each) for each in connections}
        self._keeping.jobs.reload(*self._jobs.values())
        self._next: dict[str, float] = {}

    async def live(self) -> None:
        """From the first sign-in to the last hour."""
        for connection in self._keeping.connections.all():
            await self._keeping.sign_in(connection.connection_id)
        queue = [(0.0, "")]
        for name in self._jobs:
            heapq.heappush(queue, (self._plan(name, 0.0), name))
        while queue and queue[0][0] <= self.hours * 3600:
            due, name = heapq.heappop(queue)
            self._clock.at_s = max(self._clock.at_s, due)
            if name:
                await self._run(name)
                heapq.heappush(queue, (self._plan(name, self._clock.at_s), name))
            else:
                await self._sweep()
                heapq.heappush(queue, (due + SWEEP_EVERY_S, ""))

    # ── what happens ────────────────────────────────────────────────────────

    async def _sweep(self) -> None:
        for name in self._jobs:
            if self._random.random() < OUTAGE:
                self._down_until[name] = self._clock.at_s + self._random.uniform(60, 3600)
            if self._random.random() < SWEEP_EVERY_S / REVOKED_EVERY_S and name not in self._revoked:
                self._revoked.add(name)
                self._keeping.provider.live.pop(name, None)
                self.seen.revoked += 1
        await self._clock.through(self._keeping.sweep.once())
        await self._check_holds()

    async def _run(self, name: str) -> None:
        job = self._jobs[name]
        if self._keeping.keeper.held(job):
            return
        self.seen.runs += 1
        asked = len(self._keeping.provider.asked)
        self._last.pop(name, None)
        given = await self._clock.through(self._keeping.keeper.token_for(job))
        assert given is not None
        tokens = self._keeping.store.kept[name]
        if given.token != tokens.access_token:
            self.faults.append(f"{name} at {self._clock.at_s:.0f} s: a run got {given.token}, stored is {tokens}")
        elif expired(tokens, self._clock.now()):
            self.seen.stale += 1
            self._judge(name, asked_now=len(self._keeping.provider.asked) > asked)
        await self._check_holds()

    def _judge(self, name: str, *, asked_now: bool) -> None:
        """An expired token is right only where the provider was asked in vain, or wants to be left alone."""
        standing = self._keeping.standing(name)
        told_to_wait = standing.retry_at is not None and standing.retry_at > self._clock.now()
        in_vain = asked_now and self._last.get(name) is not None
        if not (in_vain or told_to_wait or name in self._revoked):
            self.faults.append(f"{name} at {self._clock.at_s:.0f} s: began with an expired token for no reason")

    async def _check_holds(self) -> None:
        """Nobody is sent to sign in whose grant is alive; whoever is sent, goes."""
        for name, job in self._jobs.items():
            if not self._keeping.keeper.held(job):
                continue
            if name not in self._revoked:
                self.faults.append(f"{name} at {self._clock.at_s:.0f} s: a false re-authentication")
            self._revoked.discard(name)
            self.seen.reconnected += 1
            await self._keeping.sign_in(name)

    def _answer(self, name: str) -> Failure | None:
        failure = None
        self._keeping.provider.takes_s = self._random.choice(
            (0.0, 0.2, 0.2, 1.0, 20.0 * (self._random.random() < FAULTS))
        )
        if self._clock.at_s < self._down_until.get(name, 0.0):
            failure = a_failure(code="network")
        elif self._random.random() < FAULTS:
            failure = self._random.choice(FAILURES)
        self._last[name] = failure
        self.seen.failures += failure is not None
        self.seen.refreshes += failure is None
        return failure

    # ── the schedule ────────────────────────────────────────────────────────

    def _job(self, connection: Connection) -> Job:
        return a_job(connection, timeout_s=self._random.choice((60.0, 600.0, 3600.0)))

    def _plan(self, name: str, now_s: float) -> float:
        self._next[name] = now_s + self._random.expovariate(1 / self._random.choice((120.0, 900.0, 7200.0)))
        return self._next[name]

    def _next_run(self, job: Job, _now: datetime) -> datetime | None:
        assert job.connection is not None
        return self._clock.now() + timedelta(seconds=max(0.0, self._next[job.connection] - self._clock.at_s))


def main() -> None:
    """Live, and say what was seen."""
    hours, seed = [*map(int, sys.argv[1:]), *(10_000, 1)[len(sys.argv) - 1 :]]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    life, began = Life(hours=hours, seed=seed), time.monotonic()
    asyncio.run(life.live())
    good = "no run with an expired token that could have been refreshed, no false sign-in"
    say = [f"{hours} hours, seed {seed}, in {time.monotonic() - began:.0f} s: {life.seen}", *life.faults[:20]]
    sys.stdout.write("\n".join(say if life.faults else [*say, good]) + "\n")
    sys.exit(bool(life.faults))


if __name__ == "__main__":
    main()
