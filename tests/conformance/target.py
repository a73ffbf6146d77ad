"""What is asked: a project's address and keys, two people in it, and what the project has."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jwt

from tests.conformance.python_wire import Wired

PEOPLE = ("ann", "bob")
FORGED = {"role": "service_role", "sub": str(uuid4()), "aud": "authenticated", "exp": 4_000_000_000}
TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Target:
    """`keys`: `publishable` and `secret`; `anon`, `service` (legacy) and `expired` (a token) where they are known."""

    url: str
    keys: dict[str, str] = field(repr=False)

    @asynccontextmanager
    async def peopled(self) -> AsyncIterator[dict[str, Any]]:
        """Target as the runners are given it: with ann and bob, who are removed again."""
        client = await Wired.create({"url": self.url, "keys": self.keys}, "secret")
        users = client.supabase.auth.admin
        people = {}
        try:
            for name in PEOPLE:
                email, password = f"conf-{name}-{uuid4().hex[:10]}@example.com", f"Pw-{secrets.token_hex(12)}"
                made = await users.create_user({"email": email, "password": password, "email_confirm": True})
                people[name] = {"id": made.user.id, "email": email, "password": password}
            yield {"url": self.url, "keys": self.keys | wrong_keys(), "people": people}
        finally:
            for each in people.values():
                await users.delete_user(each["id"])
            await client.close()

    async def has(self) -> set[str]:
        """What scenarios may need: `signup`, `autoconfirm`, `asymmetric`, `legacy` and so on."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, headers={"apikey": self.keys["publishable"]}) as http:
            settings = (await http.get(f"{self.url}/auth/v1/settings")).json()
            jwks = (await http.get(f"{self.url}/auth/v1/.well-known/jwks.json")).json()
        facts = {
            "signup": not settings.get("disable_signup"),
            "no signup": bool(settings.get("disable_signup")),
            "autoconfirm": bool(settings.get("mailer_autoconfirm")),
            "confirmation": not settings.get("mailer_autoconfirm"),
            "no anonymous": not settings.get("external", {}).get("anonymous_users"),
            "asymmetric": bool(jwks.get("keys")),
            "legacy": {"anon", "service"} <= self.keys.keys(),
            "expired": "expired" in self.keys,
        }
        return {name for name, true in facts.items() if true}


def wrong_keys() -> dict[str, str]:
    """A key that nobody issued, and a token that somebody else signed."""
    return {
        "wrong": "sb_publishable_AAAAAAAAAAAAAAAAAAAAAA_AAAAAAAA",
        "forged": jwt.encode(FORGED, "a secret of somebody else, who may not say who you are", algorithm="HS256"),
    }
