"""Who a subscriber is: the claims of a token, or of the API key the connection was opened with.

Texts are those of Supabase Realtime, which tells a failed join and a failed refresh apart.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from agent.localstack.keys import Keys, TokenError
from agent.model.value import Json


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A role, and the claims that policies read. `token` is compared, never shown."""

    role: str
    claims: dict[str, Json]
    token: str = field(repr=False)
    expires_at: float | None = None
    """Unix time; None for an opaque API key."""

    @cached_property
    def claims_text(self) -> str:
        """What `request.jwt.claims` is set to. ASCII: what Postgres cannot represent fails where a policy reads it."""
        return json.dumps(self.claims, separators=(",", ":"), sort_keys=True)

    def remaining_s(self) -> float | None:
        """Seconds until it expires by the wall clock; None: never."""
        return None if self.expires_at is None else self.expires_at - time.time()

    def expired(self) -> str | None:
        """None while it is good, then the text for the client."""
        remaining = self.remaining_s()
        if self.expires_at is None or remaining is None or remaining > 0:
            return None
        return expiry_text(self.expires_at)


class IdentityRefused(Exception):
    """A token is not accepted. `at_connect`, `at_join` and `at_refresh` are what the client is told."""

    def __init__(self, text: str, *, code: str, at_connect: str | None = None, at_refresh: str | None = None) -> None:
        super().__init__(text)
        self.at_connect = at_connect or text
        self.at_join = f"{code}: {text}"
        self.at_refresh = at_refresh or text


def of_api_key(keys: Keys, key: str) -> Identity:
    """The identity of a connection. Any valid token may open one, as on the genuine server."""
    role = keys.role_of_api_key(key)
    if role is not None and key.startswith("sb_"):
        return Identity(role=role, claims={"role": role}, token=key)
    return of_token(keys, key)


def of_token(keys: Keys, token: str) -> Identity:
    """The identity of a JWT of this stack, or IdentityRefused."""
    try:
        claims = keys.verify("".join(unquote(token).split()))
    except TokenError as err:
        raise _refusal(err) from None
    expires_at = claims.get("exp")
    if expires_at is None:
        raise _missing_claims()
    return Identity(role=str(claims["role"]), claims=claims, token=token, expires_at=float(expires_at))


def expiry_text(expires_at: float) -> str:
    """`Token has expired 5 seconds ago`."""
    return f"Token has expired {int(time.time()) - int(expires_at)} seconds ago"


def _missing_claims() -> IdentityRefused:
    return IdentityRefused("Fields `role` and `exp` are required in JWT", code="InvalidJWTToken")


def _refusal(err: TokenError) -> IdentityRefused:
    claims = err.claims or {}
    if err.kind == "expired":
        text = expiry_text(float(claims.get("exp", 0)))
        return IdentityRefused(text, code="InvalidJWTToken", at_connect="Token has expired")
    if err.kind == "signature":
        return IdentityRefused(
            "Failed to validate JWT signature", code="JwtSignatureError", at_refresh=":signature_error"
        )
    if err.kind == "role":
        if not isinstance(claims.get("role"), str):
            return _missing_claims()
        text = f"not implemented by the local stack: the role {claims['role']!r}"
        return IdentityRefused(text, code="InvalidJWTToken")
    return IdentityRefused("The token provided is not a valid JWT", code="MalformedJWT")
