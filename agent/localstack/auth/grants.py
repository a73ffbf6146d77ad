"""Sessions given out: `/token` with a password or a refresh token, `/signup`, and the session of an invitation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from agent.localstack.accounts import HASHES_AT_ONCE, Accounts, Granted, Reused, Row
from agent.localstack.auth.caller import device_of
from agent.localstack.auth.faults import MIN_PASSWORD, AuthFault, invalid, not_served, weak_password
from agent.localstack.auth.params import EMAIL, Params, email, fits_a_token, members, params, strong, text
from agent.localstack.auth.people import user_json
from agent.localstack.keys import Keys
from agent.localstack.limits import Attempts
from agent.localstack.refusal import json_response
from agent.model.value import Json


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What sessions look like and who may make an account. `ttl_s`: life of an access token in seconds."""

    ttl_s: int
    issuer: Callable[[], str]
    sign_up: bool = False


class Grants:
    """Turns proofs into sessions."""

    def __init__(self, accounts: Accounts, keys: Keys, attempts: Attempts, policy: Policy) -> None:
        self._accounts = accounts
        self._keys = keys
        self._attempts = attempts
        self._policy = policy
        # In turn: many who sign in at once with the right password must not look like many failures.
        self._comparing = asyncio.Semaphore(HASHES_AT_ONCE)

    async def token(self, request: Request) -> Response:
        """POST /token."""
        grant = request.query_params.get("grant_type", "")
        if grant == "password":
            return json_response(await self._password(request, await params(request)))
        if grant == "refresh_token":
            return json_response(await self._refresh(request, await params(request)))
        if grant in {"pkce", "id_token", "web3"}:
            raise not_served(f"{request.method} {request.url.path}?grant_type={grant}")
        raise AuthFault(400, "invalid_credentials", "unsupported_grant_type")

    async def sign_up(self, request: Request) -> Response:
        """POST /signup. No mail is sent, so an account that may be made at all is confirmed at once."""
        given = await params(request)
        address, password = text(given, "email"), text(given, "password")
        if not address and not text(given, "phone"):
            raise AuthFault(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
        self._attempts.sign_up(_address(request))
        if not self._policy.sign_up:
            raise AuthFault(422, "signup_disabled", "Signups not allowed for this instance")
        if not password:
            raise invalid("Signup requires a valid password")
        strong(password)
        if text(given, "phone"):
            if address:
                raise invalid("Only an email address or phone number should be provided on signup.")
            raise AuthFault(400, "phone_provider_disabled", "Phone signups are disabled")
        data = members(given, "data") or {}
        fits_a_token({}, data)
        made = await self._accounts.create(email(address), password, user_metadata=data)
        if made is None:
            raise AuthFault(422, "user_already_exists", "User already registered")
        return json_response(self.session(await self._accounts.sign_in(made["id"], device_of(request))))

    async def session_of(self, user_id: UUID) -> dict[str, Json]:
        """A new session without a password: for whoever runs the stack."""
        return self.session(await self._accounts.sign_in(user_id))

    async def _password(self, request: Request, given: Params) -> Json:
        address, password = text(given, "email"), text(given, "password")
        if address and text(given, "phone"):
            raise invalid("Only an email address or phone number should be provided on login.")
        if text(given, "phone"):
            raise AuthFault(422, "phone_provider_disabled", "Phone logins are disabled")
        if not address:
            raise invalid("missing email or phone")
        async with self._comparing:
            succeeded = await self._attempts.sign_in(_address(request), address.lower())
            user = await self._accounts.verify(address, password) if EMAIL.fullmatch(address) else None
            if user is None:
                raise AuthFault(400, "invalid_credentials", "Invalid login credentials")
            succeeded()
        if _banned(user):
            raise AuthFault(400, "user_banned", "User is banned")
        if user["email_confirmed_at"] is None:
            raise AuthFault(400, "email_not_confirmed", "Email not confirmed")
        session = self.session(await self._accounts.sign_in(user["id"], device_of(request)))
        if len(password.encode()) < MIN_PASSWORD:
            fault = weak_password()
            session["weak_password"] = {"message": fault.message, **fault.extra["weak_password"]}
        return session

    async def _refresh(self, request: Request, given: Params) -> Json:
        token = text(given, "refresh_token")
        if not token:
            raise invalid("refresh_token required")
        succeeded = self._attempts.refresh(_address(request))
        try:
            granted = await self._accounts.refresh(token)
        except Reused as err:
            message = "Invalid Refresh Token: Already Used"
            raise AuthFault(400, "refresh_token_already_used", message) from err
        if granted is None:
            message = "Invalid Refresh Token: Refresh Token Not Found"
            raise AuthFault(400, "refresh_token_not_found", message)
        succeeded()
        if _banned(granted.user):
            raise AuthFault(400, "user_banned", "Invalid Refresh Token: User Banned")
        return self.session(granted)

    def session(self, granted: Granted) -> dict[str, Json]:
        """GoTrue's AccessTokenResponse."""
        user, ttl_s = granted.user, self._policy.ttl_s
        issued = int(time.time())
        claims = {
            "iss": self._policy.issuer(),
            "sub": str(user["id"]),
            "aud": user["aud"],
            "exp": issued + ttl_s,
            "iat": issued,
            "email": user["email"] or "",
            "phone": user["phone"] or "",
            "app_metadata": user["raw_app_meta_data"],
            "user_metadata": user["raw_user_meta_data"],
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": int(granted.session_created)}],
            "session_id": str(granted.session_id),
            "is_anonymous": user["is_anonymous"],
        }
        return {
            "access_token": self._keys.issue(claims, ttl_s),
            "token_type": "bearer",
            "expires_in": ttl_s,
            "expires_at": issued + ttl_s,
            "refresh_token": granted.refresh_token,
            "user": user_json(user),
        }


def _banned(user: Row) -> bool:
    return bool(user["banned_until"] and user["banned_until"] > datetime.now(UTC))


def _address(request: Request) -> str:
    return device_of(request).ip or "unknown"
