"""Who asks `/auth/v1`: the bearer's claims, the user and session they name, or the right to administer."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from uuid import UUID

from starlette.requests import Request

from agent.localstack.access import OPAQUE, api_key, bearer
from agent.localstack.accounts import Accounts, Device, Row
from agent.localstack.auth.faults import AuthFault
from agent.localstack.keys import Keys, TokenError
from agent.model.value import Json

MAX_USER_AGENT = 250


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """A user, and the session of the token; None for a token without one."""

    user: Row
    session_id: UUID | None


class Callers:
    """Reads bearers as GoTrue does. No leeway on their time: PostgREST allows one, GoTrue does not."""

    def __init__(self, accounts: Accounts, keys: Keys) -> None:
        self._accounts = accounts
        self._keys = keys

    def claims(self, request: Request) -> dict[str, Json]:
        """The verified claims of the bearer. A new key (`sb_…`) stands for its role where no user's token is."""
        token, key = bearer(request), api_key(request, self._keys)
        if key.startswith(OPAQUE) and (token is None or token == key):
            return {"role": self._keys.role_of_api_key(key)}
        if not token:
            raise AuthFault(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            return self._keys.verify(token)
        except TokenError as err:
            why = "token has invalid claims: token is expired" if err.kind == "expired" else "signature is invalid"
            why = "token is malformed" if err.kind == "malformed" else why
            message = f"invalid JWT: unable to parse or verify signature, {why}"
            raise AuthFault(403, "bad_jwt", message) from err

    def require_admin(self, request: Request) -> None:
        """Only the service role administers."""
        if self.claims(request).get("role") != "service_role":
            raise AuthFault(403, "not_admin", "User not allowed")

    async def signed_in(self, request: Request) -> SignedIn:
        """The user of the bearer and the session, which must not have been ended."""
        claims = self.claims(request)
        subject, session = claims.get("sub"), claims.get("session_id")
        if not subject:
            raise AuthFault(403, "bad_jwt", "invalid claim: missing sub claim")
        user = await self._accounts.user(_uuid(subject, 400, "invalid claim: sub claim must be a UUID"))
        if user is None:
            raise AuthFault(403, "user_not_found", "User from sub claim in JWT does not exist")
        if not session:
            return SignedIn(user=user, session_id=None)
        session_id = _uuid(session, 403, "invalid claim: session_id claim must be a UUID")
        if not await self._accounts.session_exists(session_id, user["id"]):
            raise AuthFault(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return SignedIn(user=user, session_id=session_id)


def device_of(request: Request) -> Device:
    """Where a request comes from; the peer of the socket, never a header that anybody may write."""
    agent = request.headers.get("user-agent", "")[:MAX_USER_AGENT].replace("\0", "")
    try:
        # A link-local peer comes with the name of our interface, which Postgres' inet does not take.
        peer = str(ip_address(request.client.host.partition("%")[0])) if request.client else None
    except ValueError:
        peer = None
    return Device(ip=peer, user_agent=agent or None)


def _uuid(value: Json, status: int, message: str) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as err:
        raise AuthFault(status, "bad_jwt", message) from err
