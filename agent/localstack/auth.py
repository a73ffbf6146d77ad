"""`/auth/v1`: password and refresh grant, user, logout, admin create user, health, settings. GoTrue's words and codes.

No sign-up, no e-mail, no providers: everything else is refused as not implemented.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.localstack.access import OPAQUE, api_key, bearer
from agent.localstack.accounts import BCRYPT_LIMIT, Accounts, Granted, Reused, Row
from agent.localstack.keys import ROLES, Keys, TokenError
from agent.localstack.pool import NoDatabase
from agent.localstack.refusal import json_response, read_body
from agent.model.value import Json

Handler = Callable[[Request], Awaitable[Response]]
MAX_AUTH_BODY = 64 * 1024
EMAIL = re.compile(r"[^@\s\x00-\x1f\ud800-\udfff]{1,64}@[^@\s\x00-\x1f\ud800-\udfff]{1,190}")
API_VERSION = "2024-01-01"
VERSION_HEADER = "x-supabase-api-version"


class AuthFault(Exception):
    """GoTrue's HTTPError: status, its error code, its message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self, request: Request) -> Response:
        """In the shape the client asked for: newer ones send a version header."""
        if request.headers.get(VERSION_HEADER, "") >= API_VERSION:
            body: Json = {"code": self.code, "message": self.message}
            return json_response(body, self.status, {VERSION_HEADER: API_VERSION, "x-sb-error-code": self.code})
        body = {"code": self.status, "error_code": self.code, "msg": self.message}
        return json_response(body, self.status, {"x-sb-error-code": self.code})


class Auth:
    """The routes of `/auth/v1` over `accounts`. `ttl_s` is the life of an access token in seconds."""

    def __init__(self, accounts: Accounts, keys: Keys, *, ttl_s: int, issuer: Callable[[], str]) -> None:
        self._accounts = accounts
        self._keys = keys
        self._ttl_s = ttl_s
        self._issuer = issuer

    def routes(self) -> list[Route]:
        """Starlette routes with their full paths."""
        served: list[tuple[str, str, Handler]] = [
            ("/auth/v1/token", "POST", self._token),
            ("/auth/v1/user", "GET", self._user),
            ("/auth/v1/logout", "POST", self._logout),
            ("/auth/v1/admin/users", "POST", self._create_user),
            ("/auth/v1/health", "GET", self._health),
            ("/auth/v1/settings", "GET", self._settings),
        ]
        routes = [Route(path, self._guarded(handler), methods=[method]) for path, method, handler in served]
        every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [*routes, Route("/auth/v1/{rest:path}", self._guarded(self._refuse), methods=every)]

    async def session_of(self, user_id: UUID) -> dict[str, Json]:
        """A new session without a password: for whoever runs the stack."""
        return dict(self._grant(await self._accounts.sign_in(user_id)))

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                api_key(request, self._keys)
                return await handler(request)
            except AuthFault as fault:
                return fault.response(request)
            except (psycopg.DataError, UnicodeEncodeError) as err:
                said = f"the request holds text that cannot be stored ({type(err).__name__})"
                return AuthFault(400, "validation_failed", said).response(request)
            except (NoDatabase, psycopg.OperationalError):
                return AuthFault(500, "unexpected_failure", "Database error querying schema").response(request)

        return answer

    async def _refuse(self, request: Request) -> Response:
        what = f"{request.method} {request.url.path}"
        raise AuthFault(501, "not_implemented", f"not implemented by the local stack: {what}")

    # ── tokens ────────────────────────────────────────────────────────────

    async def _token(self, request: Request) -> Response:
        grant = request.query_params.get("grant_type", "")
        if grant == "password":
            return json_response(await self._password_grant(await _params(request)))
        if grant == "refresh_token":
            return json_response(await self._refresh_grant(await _params(request)))
        if grant in {"pkce", "id_token", "web3"}:
            return await self._refuse(request)
        raise AuthFault(400, "invalid_credentials", "unsupported_grant_type")

    async def _password_grant(self, params: Mapping[str, Json]) -> Json:
        email, password = _text(params, "email"), _text(params, "password")
        if _text(params, "phone"):
            raise AuthFault(422, "phone_provider_disabled", "Phone logins are disabled")
        if not email:
            raise AuthFault(400, "validation_failed", "missing email or phone")
        user = await self._accounts.verify(email, password) if EMAIL.fullmatch(email) else None
        if user is None:
            raise AuthFault(400, "invalid_credentials", "Invalid login credentials")
        if user["banned_until"] and user["banned_until"] > datetime.now(UTC):
            raise AuthFault(400, "user_banned", "User is banned")
        if user["email_confirmed_at"] is None:
            raise AuthFault(400, "email_not_confirmed", "Email not confirmed")
        return self._grant(await self._accounts.sign_in(user["id"]))

    async def _refresh_grant(self, params: Mapping[str, Json]) -> Json:
        token = _text(params, "refresh_token")
        if not token:
            raise AuthFault(400, "validation_failed", "refresh_token required")
        try:
            granted = await self._accounts.refresh(token)
        except Reused as err:
            message = "Invalid Refresh Token: Already Used"
            raise AuthFault(400, "refresh_token_already_used", message) from err
        if granted is None:
            message = "Invalid Refresh Token: Refresh Token Not Found"
            raise AuthFault(400, "refresh_token_not_found", message)
        if granted.user["banned_until"] and granted.user["banned_until"] > datetime.now(UTC):
            raise AuthFault(400, "user_banned", "Invalid Refresh Token: User Banned")
        return self._grant(granted)

    def _grant(self, granted: Granted) -> Json:
        """GoTrue's AccessTokenResponse."""
        user = granted.user
        issued = int(time.time())
        claims = {
            "iss": self._issuer(),
            "sub": str(user["id"]),
            "aud": user["aud"],
            "exp": issued + self._ttl_s,
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
            "access_token": self._keys.mint(claims, self._ttl_s),
            "token_type": "bearer",
            "expires_in": self._ttl_s,
            "expires_at": issued + self._ttl_s,
            "refresh_token": granted.refresh_token,
            "user": user_json(user),
        }

    # ── who is signed in ──────────────────────────────────────────────────

    async def _signed_in(self, request: Request) -> tuple[Row, UUID]:
        """The caller's row and session, or GoTrue's refusal."""
        claims = self._claims(request)
        if not claims.get("sub"):
            raise AuthFault(403, "bad_jwt", "invalid claim: missing sub claim")
        try:
            user_id, session_id = UUID(str(claims["sub"])), UUID(str(claims.get("session_id", "")))
        except ValueError as err:
            raise AuthFault(403, "bad_jwt", "invalid claim: sub claim must be a UUID") from err
        user = await self._accounts.user(user_id)
        if user is None:
            raise AuthFault(403, "user_not_found", "User from sub claim in JWT does not exist")
        if not await self._accounts.session_exists(session_id):
            raise AuthFault(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return user, session_id

    def _claims(self, request: Request) -> dict[str, Json]:
        token = bearer(request)
        if not token:
            raise AuthFault(401, "no_authorization", "This endpoint requires a valid Bearer token")
        if token.startswith(OPAQUE) and token == api_key(request, self._keys):
            return {"role": self._keys.role_of_api_key(token)}
        try:
            return self._keys.verify(token)
        except TokenError as err:
            why = "token has invalid claims: token is expired" if err.kind == "expired" else "signature is invalid"
            why = "token is malformed" if err.kind == "malformed" else why
            message = f"invalid JWT: unable to parse or verify signature, {why}"
            raise AuthFault(403, "bad_jwt", message) from err

    async def _user(self, request: Request) -> Response:
        user, _ = await self._signed_in(request)
        return json_response(user_json(user))

    async def _logout(self, request: Request) -> Response:
        user, session_id = await self._signed_in(request)
        scope = request.query_params.get("scope") or "global"
        if scope not in {"global", "local", "others"}:
            raise AuthFault(400, "validation_failed", f'Unsupported logout scope "{scope}"')
        await self._accounts.sign_out(user["id"], session_id, scope)  # type: ignore[arg-type]  # one of Scope, just checked
        return Response(status_code=204)

    # ── admin and plain facts ─────────────────────────────────────────────

    async def _create_user(self, request: Request) -> Response:
        if self._claims(request).get("role") != "service_role":
            raise AuthFault(403, "not_admin", "User not allowed")
        params = await _params(request)
        unknown = params.keys() - {"email", "password", "email_confirm", "user_metadata", "app_metadata", "role", "id"}
        if unknown - {"phone", "aud", "nonce"} or params.get("phone"):
            raise AuthFault(501, "not_implemented", f"not implemented by the local stack: {sorted(unknown)}")
        email, password = _text(params, "email"), _text(params, "password")
        role = _text(params, "role") or "authenticated"
        if role not in ROLES:
            raise AuthFault(501, "not_implemented", f"not implemented by the local stack: the role {role!r}")
        if not email:
            raise AuthFault(400, "validation_failed", "Cannot create a user without either an email or phone")
        if not EMAIL.fullmatch(email):
            raise AuthFault(400, "validation_failed", "Unable to validate email address: invalid format")
        if not password or "\0" in password:
            raise AuthFault(501, "not_implemented", "not implemented by the local stack: a user without password")
        if len(password.encode("utf-8", "surrogatepass")) > BCRYPT_LIMIT:
            raise AuthFault(422, "validation_failed", "Password cannot be longer than 72 characters")
        user = await self._accounts.create(
            email,
            password,
            user_id=_uuid(params.get("id")),
            role=role,
            confirm=params.get("email_confirm") is True,
            app_metadata=_object(params, "app_metadata"),
            user_metadata=_object(params, "user_metadata"),
        )
        if user is None:
            message = "A user with this email address has already been registered"
            raise AuthFault(422, "email_exists", message)
        return json_response(user_json(user))

    async def _health(self, _: Request) -> Response:
        said = "GoTrue is a user registration and authentication API"
        return json_response({"version": "local", "name": "GoTrue", "description": said})

    async def _settings(self, _: Request) -> Response:
        return json_response(
            {
                "external": {"anonymous_users": False, "email": True, "phone": False},
                "disable_signup": True,
                "mailer_autoconfirm": False,
                "phone_autoconfirm": False,
                "sms_provider": "",
                "saml_enabled": False,
            }
        )


def user_json(user: Row) -> dict[str, Any]:
    """GoTrue's User; absent instants are left out, as it does."""
    identity_data = {"email": user["email"], "email_verified": False, "phone_verified": False, "sub": str(user["id"])}
    created, signed_in = _instant(user["created_at"]), _instant(user["last_sign_in_at"])
    identity = {
        "identity_id": str(user["id"]),
        "id": str(user["id"]),
        "user_id": str(user["id"]),
        "identity_data": identity_data,
        "provider": "email",
        "last_sign_in_at": created,
        "created_at": created,
        "updated_at": created,
        "email": user["email"],
    }
    confirmed = _instant(user["email_confirmed_at"])
    optional = {
        "email_confirmed_at": confirmed,
        "confirmed_at": confirmed,
        "last_sign_in_at": signed_in,
        "banned_until": _instant(user["banned_until"]),
    }
    return {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        **{name: value for name, value in optional.items() if value is not None},
        "app_metadata": user["raw_app_meta_data"],
        "user_metadata": user["raw_user_meta_data"],
        "identities": [identity],
        "created_at": created,
        "updated_at": _instant(user["updated_at"]),
        "is_anonymous": user["is_anonymous"],
    }


def _instant(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None


async def _params(request: Request) -> dict[str, Json]:
    body = await read_body(request, MAX_AUTH_BODY)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise AuthFault(400, "bad_json", f"Could not parse request body as JSON: {err}") from err
    if not isinstance(found, dict):
        raise AuthFault(400, "bad_json", "Could not parse request body as JSON: an object is needed")
    return found


def _text(params: Mapping[str, Json], name: str) -> str:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise AuthFault(400, "bad_json", f"Could not parse request body as JSON: {name} must be a string")
    return value or ""


def _object(params: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = params.get(name) or {}
    if not isinstance(value, dict):
        raise AuthFault(400, "bad_json", f"Could not parse request body as JSON: {name} must be an object")
    return value


def _uuid(value: Json) -> UUID | None:
    try:
        return UUID(value) if value is not None else None
    except (ValueError, TypeError, AttributeError) as err:
        raise AuthFault(400, "validation_failed", "ID must conform to the uuid v4 format") from err
