"""`/auth/v1` in GoTrue's words and codes: sessions, users, their administration, the public keys.

No e-mail, no phone, no providers, no factors: all of that is refused as not implemented.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import psycopg
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from agent.localstack.access import api_key
from agent.localstack.accounts import Accounts
from agent.localstack.auth.admin import Admin
from agent.localstack.auth.caller import Callers
from agent.localstack.auth.faults import AuthFault, invalid, not_served, too_many
from agent.localstack.auth.grants import Grants, Policy
from agent.localstack.auth.own import Own
from agent.localstack.keys import Keys
from agent.localstack.limits import Attempts, Limits, TooMany
from agent.localstack.pool import NoDatabase
from agent.localstack.refusal import Refusal, json_response
from agent.model.value import Json

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
ABOUT = "GoTrue is a user registration and authentication API"
PROVIDERS = (
    *("anonymous_users", "apple", "azure", "bitbucket", "discord", "facebook", "figma", "fly", "github", "gitlab"),
    *("google", "kakao", "keycloak", "linkedin", "linkedin_oidc", "notion", "phone", "slack", "slack_oidc", "spotify"),
    *("twitch", "twitter", "workos", "zoom"),
)
JWKS_HEADERS = {"cache-control": "public, max-age=600"}

__all__ = ["Auth", "Policy"]


class Auth:
    """The routes of `/auth/v1` over `accounts`."""

    def __init__(self, accounts: Accounts, keys: Keys, *, policy: Policy, limits: Limits | None = None) -> None:
        callers = Callers(accounts, keys)
        attempts = Attempts(limits or Limits(), accounts.has_been_at)
        self._keys = keys
        self._policy = policy
        self._grants = Grants(accounts, keys, attempts, policy)
        self._own = Own(accounts, callers, attempts)
        self._admin = Admin(accounts, callers)

    def routes(self) -> list[Route]:
        """Starlette routes with their full paths."""
        own, admin = self._own, self._admin
        served: list[tuple[str, str, Handler]] = [
            ("POST", "/token", self._grants.token),
            ("POST", "/signup", self._grants.sign_up),
            ("GET", "/user", own.user),
            ("PUT", "/user", own.change),
            ("POST", "/logout", own.logout),
            ("POST", "/recover", own.recover),
            *(("POST", path, own.mail) for path in ("/otp", "/magiclink", "/resend", "/invite")),
            ("GET", "/reauthenticate", own.mail),
            ("GET", "/admin/users", admin.list),
            ("POST", "/admin/users", admin.create),
            ("GET", "/admin/users/{user_id}", admin.get),
            ("PUT", "/admin/users/{user_id}", admin.change),
            ("DELETE", "/admin/users/{user_id}", admin.delete),
            ("GET", "/health", self._health),
            ("GET", "/settings", self._settings),
        ]
        routes = [Route(f"/auth/v1{path}", self._guarded(handler), methods=[how]) for how, path, handler in served]
        # Whoever verifies tokens need not have a key: nothing in it is secret.
        jwks = Route("/auth/v1/.well-known/jwks.json", self._jwks, methods=["GET"])
        return [jwks, *routes, Route("/auth/v1/{rest:path}", self._guarded(self._refuse), methods=METHODS)]

    async def session_of(self, user_id: UUID) -> dict[str, Json]:
        """A new session without a password: for whoever runs the stack."""
        return await self._grants.session_of(user_id)

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                api_key(request, self._keys)
                return await handler(request)
            except AuthFault as fault:
                return fault.response(request)
            except (Refusal, ClientDisconnect):
                raise
            except Exception as err:  # noqa: BLE001 # a client of /auth/v1 understands this shape only
                return _fault_of(err, request).response(request)

        return answer

    async def _refuse(self, request: Request) -> Response:
        raise not_served(f"{request.method} {request.url.path}")

    async def _jwks(self, _: Request) -> Response:
        return json_response(self._keys.jwks(), headers=JWKS_HEADERS)

    async def _health(self, _: Request) -> Response:
        return json_response({"version": "local", "name": "GoTrue", "description": ABOUT})

    async def _settings(self, _: Request) -> Response:
        return json_response(
            {
                "external": dict.fromkeys(PROVIDERS, False) | {"email": True},
                "disable_signup": not self._policy.sign_up,
                "mailer_autoconfirm": True,
                "phone_autoconfirm": False,
                "sms_provider": "",
                "saml_enabled": False,
            }
        )


def _fault_of(err: Exception, request: Request) -> AuthFault:
    match err:
        case TooMany():
            return too_many(err.wait_s)
        case psycopg.DataError() | UnicodeEncodeError():
            return invalid(f"the request holds text that cannot be stored ({type(err).__name__})")
        case NoDatabase() | psycopg.OperationalError():
            return AuthFault(500, "unexpected_failure", "Database error querying schema")
    log.error("the gateway failed to answer", method=request.method, path=request.url.path, exc_info=err)
    message = "Unexpected failure, please check server logs for more information"
    return AuthFault(500, "unexpected_failure", message)
