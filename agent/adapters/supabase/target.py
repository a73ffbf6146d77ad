"""Where a Supabase project is and with which key and user we come to it.

Knows the shapes of URLs and keys; opens nothing and checks no signature.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from enum import StrEnum

from agent.errors import ConfigError, Problem


class KeyKind(StrEnum):
    """What an API key says about itself (https://supabase.com/docs/guides/api/api-keys)."""

    PUBLIC = "public"
    """`sb_publishable_…` or a legacy JWT of role anon: everybody may have it; a user signs in beside it."""
    SECRET = "secret"  # noqa: S105 - the name of a kind, not a secret
    """`sb_secret_…` or a legacy JWT of role service_role: passes every policy, needs no sign-in."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One project: `url` without a trailing slash, the API key, and the user to sign in as."""

    url: str
    key: str = field(repr=False)
    email: str | None = None
    """None: whoever `cronmirror login` stored."""
    password: str | None = field(default=None, repr=False)
    anonymous: bool = False
    """Act with the public key alone; only for projects opened by `optional/open_access.sql`."""
    realtime_url: str | None = None
    """Where Realtime answers, when it is not at `<url>/realtime/v1`."""

    def __post_init__(self) -> None:
        url = self.url.strip().rstrip("/")
        for suffix in ("/rest/v1", "/auth/v1", "/realtime/v1"):
            url = url.removesuffix(suffix)
        if not url.startswith(("http://", "https://")):
            said = f"{self.url!r} is not the address of a Supabase project; it looks like https://abcdefgh.supabase.co"
            raise ConfigError([Problem(message=said, path="supabase.url")])
        if not self.key.strip():
            said = "is empty; copy the publishable (or anon) key from Supabase: Project Settings → API Keys"
            raise ConfigError([Problem(message=said, path="supabase.key")])
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "key", self.key.strip())

    @property
    def key_kind(self) -> KeyKind:
        """Whether the key alone may do everything."""
        secret = self.key.startswith("sb_secret_") or jwt_claims(self.key).get("role") == "service_role"
        return KeyKind.SECRET if secret else KeyKind.PUBLIC

    @property
    def signs_in(self) -> bool:
        """Whether a user session stands beside the key."""
        return self.key_kind is KeyKind.PUBLIC and not self.anonymous

    @property
    def socket_url(self) -> str:
        """Base of the Realtime address, `ws(s)://…/realtime/v1`."""
        base = self.realtime_url or f"{self.url}/realtime/v1"
        return "ws" + base.removeprefix("http") if base.startswith("http") else base


def jwt_claims(token: str) -> dict[str, object]:
    """Claims of a JWT, read and **not verified** (projects may sign asymmetrically); empty when it is none."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature (RFC 7519 §3)
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
