"""Around connections: the provider, this box's memory, and what runs, the schedule and sign-ins ask of the keeper."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from agent.model import (
    Change,
    Connection,
    ConnectionsReply,
    DevicePrompt,
    Failure,
    GivenToken,
    Job,
    ReconnectAnswer,
    Refreshed,
    SignIn,
    Standing,
    Tokens,
)


class OAuth(Protocol):
    """Providers. Nothing a provider does raises: every refusal is a `Failure`, classified."""

    async def renew(self, connection: Connection, tokens: Tokens | None) -> Tokens | Failure:
        """Fresh tokens: by client credentials where that is the grant, else with the refresh token in `tokens`.

        The answer holds the old refresh token where the provider gave no new one.
        """
        ...

    def sign_in(self, connection: Connection, redirect_uri: str) -> SignIn:
        """Begin a sign-in in a browser: the address to open, the state and verifier to keep."""
        ...

    async def exchange(
        self, connection: Connection, sign_in: SignIn, code: str, *, account: str | None = None
    ) -> Tokens | Failure:
        """Tokens for the code that came back. `account`: who signed in, where the redirect said so."""
        ...

    async def begin_device(self, connection: Connection) -> DevicePrompt | Failure:
        """Begin a sign-in by device code."""
        ...

    async def finish_device(self, connection: Connection, prompt: DevicePrompt) -> Tokens | Failure:
        """Ask until the person has signed in, refused, or the code has expired; as often as the provider wishes."""
        ...

    async def revoke(self, connection: Connection, tokens: Tokens) -> Failure | None:
        """Make the tokens worthless at the provider's. A provider without an address for it: a `Failure` saying so."""
        ...


class ConnectionStore(Protocol):
    """This box's memory of connections: tokens and standings. Every method may raise `StateError`."""

    def lock(self, connection_id: str) -> AbstractAsyncContextManager[None]:
        """Alone with this connection, among the tasks of all processes on this box; the kernel frees it after a kill.

        Whoever has it reads the tokens again: another one may have refreshed them meanwhile.
        """
        ...

    async def tokens(self, connection_id: str) -> Tokens | None:
        """What is stored now."""
        ...

    async def keep_tokens(self, connection_id: str, tokens: Tokens) -> None:
        """Replace them; returns after they are durable. From then on, and not before, they may be used."""
        ...

    async def forget_tokens(self, connection_id: str) -> None:
        """Remove them; the standing stays."""
        ...

    async def standing(self, connection_id: str) -> Standing | None:
        """As kept last, by any process."""
        ...

    async def keep_standing(self, standing: Standing) -> None:
        """Replace it."""
        ...


class Connections(Protocol):
    """The connections of the configuration in force."""

    def get(self, connection_id: str) -> Connection | None:
        """The connection, or None."""
        ...

    def all(self) -> Sequence[Connection]:
        """Every one, in file order."""
        ...


class ConnectionHolds(Protocol):
    """Which jobs wait for a person to sign in again (connections/keeper.py)."""

    def held(self, job: Job) -> bool:
        """Whether the job's connection needs re-authentication. Asked for every decision: answers from memory."""
        ...


class RunTokens(Protocol):
    """The token of a run that begins (connections/keeper.py)."""

    async def token_for(self, job: Job) -> GivenToken | None:
        """Fresh for the run where that can be had; None where the job names no connection. Never raises our errors."""
        ...


class Reconnection(Protocol):
    """What a sign-in does with the tokens that it got (connections/keeper.py)."""

    async def accept(self, connection_id: str, tokens: Tokens, *, other_account_ok: bool = False) -> Failure | None:
        """Keep them, clear what was wrong, release held jobs. A `Failure` (`other_account`): nothing was changed.

        Raises `StateError`.
        """
        ...

    async def refresh_now(self, connection_id: str) -> Refreshed:
        """Refresh whatever the tokens' age, also where a next try was to wait."""
        ...

    async def forget(self, connection_id: str) -> Tokens | None:
        """Forget the tokens (to be revoked, or already): the connection needs a new sign-in. Raises `StateError`."""
        ...


class Standings(Protocol):
    """How the agent stands with its connections, for reports and notices (connections/keeper.py)."""

    def standings(self) -> Sequence[Standing]:
        """Of every connection of the configuration in force, in file order."""
        ...

    async def next_change(self, revision: int) -> int:
        """Return the new revision as soon as anything stands otherwise than at `revision` (from 0)."""
        ...


class ChangeListener(Protocol):
    """Hears of every change of a standing, once, in order, on the box where it happened."""

    def __call__(self, change: Change) -> None:
        """Must not raise nor wait."""
        ...


class ConnectionCalls(Protocol):
    """`cron_report_connections`, `cron_reconnect_answer`, `cron_reconnect_take`. Errors: `agent.ports.supabase`."""

    async def report_connections(self, standings: Sequence[Standing], ids: Sequence[str]) -> ConnectionsReply:
        """Show how these stand, drop all but `ids`; the answer says what people ask of them."""
        ...

    async def answer_reconnect(self, request_id: UUID, answer: ReconnectAnswer) -> bool:
        """False: it is over already."""
        ...

    async def take_code(self, request_id: UUID) -> str | None:
        """The code, once; None where it is gone."""
        ...
