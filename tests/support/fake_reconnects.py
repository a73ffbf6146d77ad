"""The database's side of connections, a provider and the keeper's ear, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from agent.errors import CronmirrorError
from agent.model import (
    Connection,
    ConnectionsReply,
    DevicePrompt,
    Failure,
    FailureKind,
    ReconnectAnswer,
    ReconnectRequest,
    ReconnectStatus,
    Refreshed,
    SignIn,
    Standing,
    Tokens,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE = "https://jobs.example.com/callback"
REFUSED = Failure(kind=FailureKind.PERMANENT, code="access_denied", message="The person said no.")


def a_connection(connection_id: str = "drive", **more) -> Connection:
    endpoints = {
        "token_url": "https://provider.example/token",
        "authorization_url": "https://provider.example/authorize",
    }
    return Connection(connection_id=connection_id, provider="google", client_id="us", **(endpoints | more))


def a_request(**more) -> ReconnectRequest:
    request = ReconnectRequest(
        id=uuid4(),
        connection_id="drive",
        status=ReconnectStatus.ASKED,
        redirect_uri=PAGE,
        other_account_ok=False,
        expires_at=NOW + timedelta(minutes=10),
        code_waits=False,
    )
    return replace(request, **more)


@dataclass(kw_only=True)
class FakeConnectionCalls:
    """`agent.ports.ConnectionCalls`: what it was told, and the requests that it tells of."""

    reports: list[tuple[list[str], list[str]]] = field(default_factory=list)
    answers: list[ReconnectAnswer] = field(default_factory=list)
    requests: Sequence[ReconnectRequest] = ()
    refused: dict[str, str] = field(default_factory=dict)
    codes: dict[UUID, str] = field(default_factory=dict)
    failing: list[CronmirrorError] = field(default_factory=list)
    over: bool = False

    async def report_connections(self, standings: Sequence[Standing], ids: Sequence[str]) -> ConnectionsReply:
        self._fail()
        self.reports.append(([each.connection_id for each in standings], list(ids)))
        return ConnectionsReply(refused=dict(self.refused), requests=tuple(self.requests))

    async def answer_reconnect(self, request_id: UUID, answer: ReconnectAnswer) -> bool:
        self._fail()
        self.answers.append(answer)
        return not self.over

    async def take_code(self, request_id: UUID) -> str | None:
        self._fail()
        return self.codes.pop(request_id, None)

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)


@dataclass(kw_only=True)
class FakeOAuth:
    """`agent.ports.OAuth`: gives tokens of the account it is told, as soon as it is let."""

    account: str = "me@example.com"
    failure: Failure | None = None
    exchanged: list[tuple[SignIn, str, str | None]] = field(default_factory=list)
    signed_in: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0

    def sign_in(self, connection: Connection, redirect_uri: str) -> SignIn:
        self.begun += 1
        return SignIn(
            url=f"{connection.authorization_url}?n={self.begun}",
            state=f"state-{self.begun}",
            redirect_uri=redirect_uri,
            verifier="verifier",
        )

    async def exchange(
        self, connection: Connection, sign_in: SignIn, code: str, *, account: str | None = None
    ) -> Tokens | Failure:
        self.exchanged.append((sign_in, code, account))
        return await self._answer(connection)

    async def begin_device(self, connection: Connection) -> DevicePrompt | Failure:
        return self.failure or DevicePrompt(
            device_code="device-secret",
            user_code="ABCD-EFGH",
            verification_uri="https://provider.example/device",
            expires_at=NOW + timedelta(minutes=10),
        )

    async def finish_device(self, connection: Connection, prompt: DevicePrompt) -> Tokens | Failure:
        await self.signed_in.wait()
        return await self._answer(connection)

    async def renew(self, connection: Connection, tokens: Tokens | None) -> Tokens | Failure:
        raise AssertionError("the keeper's business")

    async def revoke(self, connection: Connection, tokens: Tokens) -> Failure | None:
        raise AssertionError("nobody asked for it")

    async def _answer(self, connection: Connection) -> Tokens | Failure:
        return self.failure or Tokens(access_token="fresh", obtained_at=NOW, account=self.account)


@dataclass(kw_only=True)
class FakeKeeper:
    """`Connections`, `Reconnection` and `Standings` of `agent.ports`."""

    known: dict[str, Connection]
    account: str = "me@example.com"
    accepted: list[Tokens] = field(default_factory=list)
    renewed: Refreshed = Refreshed.REFRESHED
    stand: dict[str, Standing] = field(default_factory=dict)
    revision: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def get(self, connection_id: str) -> Connection | None:
        return self.known.get(connection_id)

    def all(self) -> Sequence[Connection]:
        return tuple(self.known.values())

    async def accept(self, connection_id: str, tokens: Tokens, *, other_account_ok: bool = False) -> Failure | None:
        if tokens.account != self.account and not other_account_ok:
            said = f"Signed in as {tokens.account}, but the connection belongs to {self.account}."
            return Failure(kind=FailureKind.PERMANENT, code="other_account", message=said)
        self.accepted.append(tokens)
        self.change(Standing(connection_id=connection_id, provider="google", is_active=True, account=tokens.account))
        return None

    async def refresh_now(self, connection_id: str) -> Refreshed:
        return self.renewed

    async def forget(self, connection_id: str) -> Tokens | None:
        raise AssertionError("nobody asked for it")

    def standings(self) -> Sequence[Standing]:
        return tuple(self.stand.values())

    async def next_change(self, revision: int) -> int:
        while self.revision == revision:
            await self._changed.wait()
        return self.revision

    def change(self, *standings: Standing, gone: str | None = None) -> None:
        self.stand |= {each.connection_id: each for each in standings}
        if gone is not None:
            del self.stand[gone]
        self.revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
