"""The three calls of Supabase Auth that an agent needs, one attempt each: password, refresh, logout.

Says whether an answer is temporary (`Unreachable`) or a verdict on the credentials (`Denied`); keeps nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import httpx

from agent.adapters.supabase.target import Target, jwt_claims
from agent.adapters.supabase.transport import URL_HINT, HttpFailure, json_object, network_failure
from agent.errors import NeedsSignIn, Unreachable
from agent.model import Json

TRANSIENT_CODES: Final = frozenset({"conflict", "over_request_rate_limit", "request_timeout", "hook_timeout"})
"""4xx of Auth that a repetition may mend (https://supabase.com/docs/guides/auth/debugging/error-codes)."""
DEFAULT_LIFETIME_S: Final = 3600.0
LONGEST_LIFETIME_S: Final = 604_800.0
"""What Supabase lets a project set; a wrong number must not reach beyond the calendar."""
AHEAD_S: Final = 60.0
AHEAD_SHARE: Final = 0.1
"""Refresh this long before the end: the larger of the two."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A session as Auth granted it, dated by our own wall clock (the server's may be off)."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: datetime
    lifetime_s: float
    email: str

    def expired(self, now: datetime) -> bool:
        """Whether the access token's time is over."""
        return now >= self.expires_at

    def due_in_s(self, now: datetime) -> float:
        """Seconds until it should be refreshed; never more than half a lifetime ahead of its end."""
        ahead_s = min(max(AHEAD_S, AHEAD_SHARE * self.lifetime_s), self.lifetime_s / 2)
        return (self.expires_at - now).total_seconds() - ahead_s

    def to_json(self, url: str) -> bytes:
        """For the session file."""
        body = {
            "version": 1,
            "url": url,
            "email": self.email,
            "access_token": self.access,
            "refresh_token": self.refresh,
            "expires_at": self.expires_at.isoformat(),
            "lifetime_s": self.lifetime_s,
        }
        return json.dumps(body, indent=1).encode()

    @staticmethod
    def from_json(data: bytes | None, target: Target) -> Tokens | None:
        """The stored session, or None when there is none, it is damaged, or it is another project's or user's."""
        try:
            body = json.loads(data or b"null")
            if body["url"] != target.url or not same_email(body["email"], target.email):
                return None
            expires_at = datetime.fromisoformat(body["expires_at"])
            lifetime_s = float(body["lifetime_s"])
            access, refresh, email = (str(body[key]) for key in ("access_token", "refresh_token", "email"))
        except (ValueError, TypeError, KeyError):
            return None
        if expires_at.tzinfo is None or not access or not refresh:
            return None
        return Tokens(access=access, refresh=refresh, expires_at=expires_at, lifetime_s=lifetime_s, email=email)


def same_email(stored: str, wanted: str | None) -> bool:
    """Whether a stored session is the wanted user's; nobody in particular is anybody."""
    return wanted is None or stored.strip().lower() == wanted.strip().lower()


class Denied(Exception):
    """Auth understood and refused the credentials: `code` is its error code, `str()` its words."""

    def __init__(self, failure: HttpFailure) -> None:
        super().__init__(failure.text)
        self.code = failure.code


class Grants:
    """`/auth/v1` of one project."""

    def __init__(self, target: Target, http: httpx.AsyncClient) -> None:
        self._target = target
        self._http = http

    async def password(self, email: str, password: str, now: datetime) -> Tokens:
        """Sign in. Raises `Unreachable`, `Denied`, or `NeedsSignIn` when the API key is wrong."""
        return await self._grant("password", {"email": email, "password": password}, now, email)

    async def refresh(self, tokens: Tokens, now: datetime) -> Tokens:
        """Trade the refresh token in; the old one stays good for a moment (the server forgives its parent)."""
        return await self._grant("refresh_token", {"refresh_token": tokens.refresh}, now, tokens.email)

    async def logout(self, access_token: str) -> None:
        """End this session on the server; one that has ended already is fine."""
        try:
            await self._post("logout?scope=local", {}, {"Authorization": f"Bearer {access_token}"}, "signing out")
        except Denied:
            return

    async def _grant(self, kind: str, body: dict[str, str], now: datetime, email: str) -> Tokens:
        response = await self._post(f"token?grant_type={kind}", body, {}, "signing in")
        answer = json_object(response)
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
            said = f"signing in: {self._target.url} answered without a session, which Supabase Auth never does."
            raise Unreachable(said, hint=URL_HINT)
        lifetime_s = _seconds(answer.get("expires_in")) or _lifetime(access) or DEFAULT_LIFETIME_S
        user = answer.get("user")
        named = user.get("email") if isinstance(user, dict) else None
        return Tokens(
            access=access,
            refresh=refresh,
            expires_at=now + timedelta(seconds=lifetime_s),
            lifetime_s=lifetime_s,
            email=named if isinstance(named, str) and named else email,
        )

    async def _post(self, path: str, body: Json, headers: dict[str, str], what: str) -> httpx.Response:
        url = self._target.url
        try:
            return await self._http.post(
                f"{url}/auth/v1/{path}", json=body, headers={"apikey": self._target.key, **headers}
            )
        except HttpFailure as failure:
            if wrong_key(failure):
                raise key_refused(url, failure) from failure
            if failure.temporary or failure.code in TRANSIENT_CODES or not _from_auth(failure):
                raise failure.unreachable(url, what) from failure
            raise Denied(failure) from failure
        except (httpx.RequestError, httpx.InvalidURL) as err:
            raise network_failure(err, url, what) from err


def _from_auth(failure: HttpFailure) -> bool:
    """A verdict of Auth always carries a code or `error`; a gateway's 404 says only `message`."""
    return bool(failure.code) or "msg" in failure.body


def wrong_key(failure: HttpFailure) -> bool:
    """Whether the gateway refused the API key itself (it answers 401 before anything else looks at the call)."""
    return failure.status == 401 and "api key" in failure.text.lower()  # noqa: PLR2004 - RFC 9110 §15.5.2


def key_refused(url: str, failure: HttpFailure) -> NeedsSignIn:
    """The gateway's refusal, for people."""
    return NeedsSignIn(
        f"{url} refused the API key ({failure.text}).",
        hint="Copy the publishable (or anon) key of this very project into supabase.key: Project Settings → API Keys.",
    )


def _seconds(value: Json) -> float | None:
    return float(min(value, LONGEST_LIFETIME_S)) if isinstance(value, int | float) and value > 0 else None


def _lifetime(token: str) -> float | None:
    claims = jwt_claims(token)
    exp, iat = claims.get("exp"), claims.get("iat")
    return _seconds(exp - iat) if isinstance(exp, int | float) and isinstance(iat, int | float) else None
