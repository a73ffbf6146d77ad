"""What keeps connections talks to."""

from __future__ import annotations

from typing import Protocol

from agent.model import Connection, DevicePrompt, Failure, SignIn, Tokens


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
