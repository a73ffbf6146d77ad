"""Connections without network or disk: a provider that rotates and revokes, a memory, and a keeper on both."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from agent.connections.keeper import Keeper
from agent.connections.ledger import Ledger
from agent.connections.sweep import Ahead, NextRun, Sweep
from agent.errors import StateError
from agent.model import (
    INVALID_GRANT,
    Change,
    Connection,
    Failure,
    FailureKind,
    Grant,
    Job,
    Standing,
    Thresholds,
    Tokens,
)
from agent.ports import Clock, ConnectionStore
from tests.support.clock import VirtualClock
from tests.support.fake_stages import FakeJobs

HOUR_S = 3600.0
DEFAULTS = Thresholds()


def a_connection(connection_id: str = "drive", **fields) -> Connection:
    return Connection(
        **{
            "connection_id": connection_id,
            "provider": "generic",
            "token_url": "http://127.0.0.1:9/token",
            "client_id": "client",
            "env": f"{connection_id.upper()}_ACCESS_TOKEN",
            **fields,
        }
    )


def a_failure(kind: FailureKind = FailureKind.TRANSIENT, code: str = "http_503", **fields) -> Failure:
    return Failure(**{"kind": kind, "code": code, "message": f"The provider said {code}.", **fields})


DEAD = a_failure(FailureKind.PERMANENT, INVALID_GRANT)
WRONG_CLIENT = a_failure(FailureKind.PERMANENT, "invalid_client")
BUSY = a_failure(FailureKind.RATE_LIMIT, "http_429")


@dataclass
class FakeProvider:
    """`OAuth.renew`, with rotation: an old refresh token is dead, and showing it revokes what came of it."""

    clock: Clock
    lifetime_s: dict[str, float | None] = field(default_factory=dict)
    rotates: bool = True
    answers: dict[str, list[Failure]] = field(default_factory=lambda: defaultdict(list))
    """Failures to give first, by connection."""
    takes_s: float = 0.0
    fault: Callable[[str], Failure | None] = lambda _: None
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """Closed: answers wait."""
    live: dict[str, str] = field(default_factory=dict)
    """connection → the refresh token that works."""
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def sign_in(self, connection: Connection, account: str | None = "max@example.com") -> Tokens:
        """What a person's consent gives."""
        return self._give(connection.connection_id, account)

    async def renew(self, connection: Connection, tokens: Tokens | None) -> Tokens | Failure:
        name = connection.connection_id
        self.asked.append(name)
        if self.takes_s:
            await self.clock.sleep(self.takes_s)
        if self.gate is not None:
            await self.gate.wait()
        failure = self.answers[name].pop(0) if self.answers[name] else self.fault(name)
        if failure is not None:
            return failure
        if connection.grant is Grant.CLIENT_CREDENTIALS:
            return replace(self._give(name, None), refresh_token=None)
        assert tokens is not None
        if tokens.refresh_token != self.live.get(name):
            self.live.pop(name, None)
            return DEAD
        return self._give(name, None, keep=None if self.rotates else tokens.refresh_token)

    def _give(self, name: str, account: str | None, keep: str | None = None) -> Tokens:
        number, now = next(self._number), self.clock.now()
        lifetime_s = self.lifetime_s.get(name, HOUR_S)
        self.live[name] = keep or f"refresh-{name}-{number}"
        return Tokens(
            access_token=f"access-{name}-{number}",
            refresh_token=self.live[name],
            obtained_at=now,
            expires_at=None if lifetime_s is None else now + timedelta(seconds=lifetime_s),
            account=account,
        )


class FakeConnectionStore(ConnectionStore):
    """Memory that several keepers may share, as processes share a disk."""

    def __init__(self) -> None:
        self.kept: dict[str, Tokens] = {}
        self.standings: dict[str, Standing] = {}
        self.full = False
        self.changes = 0
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def revision(self) -> object:
        return self.changes

    @asynccontextmanager
    async def lock(self, connection_id: str) -> AsyncIterator[None]:
        async with self._locks[connection_id]:
            yield

    async def tokens(self, connection_id: str) -> Tokens | None:
        return self.kept.get(connection_id)

    async def keep_tokens(self, connection_id: str, tokens: Tokens) -> None:
        self._write()
        self.kept[connection_id] = tokens

    async def forget_tokens(self, connection_id: str) -> None:
        self._write()
        self.kept.pop(connection_id, None)

    async def standing(self, connection_id: str) -> Standing | None:
        return self.standings.get(connection_id)

    async def keep_standing(self, standing: Standing) -> None:
        self._write()
        self.standings[standing.connection_id] = standing

    def _write(self) -> None:
        if self.full:
            raise StateError("the disk is full")
        self.changes += 1


class FakeConnections:
    """`ports.Connections` that a test may change."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.connections = list(connections)

    def get(self, connection_id: str) -> Connection | None:
        return next((each for each in self.connections if each.connection_id == connection_id), None)

    def all(self) -> Sequence[Connection]:
        return self.connections


class Keeping:
    """One process' keeper over a store and a provider that others may share."""

    def __init__(
        self,
        *connections: Connection,
        clock: VirtualClock | None = None,
        provider: FakeProvider | None = None,
        store: FakeConnectionStore | None = None,
        thresholds: Thresholds = DEFAULTS,
        next_run: NextRun = lambda _job, _now: None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.provider = provider or FakeProvider(self.clock)
        self.store = store if store is not None else FakeConnectionStore()
        self.connections = FakeConnections(connections or [a_connection()])
        self.jobs = FakeJobs(*(a_job(each) for each in self.connections.all()))
        self.learnt: list[str] = []
        self.changes: list[Change] = []
        self.ledger = Ledger(
            self.store, self.connections, self.clock, thresholds=lambda: thresholds, told=self.changes.append
        )
        self.keeper = Keeper(
            self.provider,  # type: ignore[arg-type]  # renew is all that a keeper calls
            self.store,
            self.connections,
            self.ledger,
            self.clock,
            thresholds=lambda: thresholds,
            learn=lambda _, secrets: self.learnt.extend(secrets),
        )
        self.sweep = Sweep(
            self.keeper,
            self.ledger,
            self.connections,
            self.clock,
            ahead=Ahead(jobs=self.jobs, next_run=next_run),
            thresholds=lambda: thresholds,
            revision=self.store.revision,
        )

    async def sign_in(self, connection_id: str = "drive", **values) -> None:
        """As `cronmirror connections login` does."""
        connection = self.connections.get(connection_id)
        assert connection is not None
        assert await self.keeper.accept(connection_id, self.provider.sign_in(connection, **values)) is None

    def standing(self, connection_id: str = "drive") -> Standing:
        return next(each for each in self.keeper.standings() if each.connection_id == connection_id)

    @property
    def alerts(self) -> list[str]:
        return [change.alert for change in self.changes if change.alert]


def a_job(connection: Connection, **fields) -> Job:
    from tests.support.fake_stages import a_job as plain  # noqa: PLC0415

    return plain(f"uses-{connection.connection_id}", connection=connection.connection_id, **fields)
