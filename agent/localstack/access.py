"""Who is calling: the API key at the door, then the bearer token. As the hosted gateway and PostgREST decide it.

An opaque key (`sb_…`) stands for its role where a JWT could; as a bearer it counts only when it is the apikey too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from agent.localstack.keys import Keys, TokenError
from agent.localstack.refusal import Refusal
from agent.model.value import Json

OPAQUE = ("sb_publishable_", "sb_secret_")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A database role and the claims that RLS policies read."""

    role: str
    claims: dict[str, Json] = field(default_factory=dict)

    @property
    def authed(self) -> bool:
        """Whether PostgREST answers 42501 with 403 (signed in) instead of 401."""
        return self.role != "anon"


def api_key(request: Request, keys: Keys) -> str:
    """The request's API key (header, else query), or the hosted gateway's refusal."""
    given = request.headers.get("apikey") or request.query_params.get("apikey", "")
    if not given:
        raise Refusal(
            401,
            {
                "message": "No API key found in request",
                "hint": "No `apikey` request header or url param was found.",
            },
        )
    if keys.role_of_api_key(given) is None:
        raise Refusal(
            401,
            {
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key.",
            },
        )
    return given


def bearer(request: Request) -> str | None:
    """The token of `Authorization: Bearer …`; None when there is no such header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def rest_caller(request: Request, keys: Keys, *, leeway_s: float) -> Caller:
    """The role and claims that PostgREST would run this request with. Refusal is PostgREST's own 401."""
    key, token = api_key(request, keys), bearer(request)
    opaque = key.startswith(OPAQUE)
    if opaque and (token is None or token == key):
        role = keys.role_of_api_key(key)
        return Caller(role=str(role), claims={"role": role})
    if token is None:
        return Caller(role="anon", claims={"role": "anon"})
    try:
        claims = keys.verify(token, leeway_s=leeway_s)
    except TokenError as err:
        if err.kind == "role" and err.claims is not None and "role" not in err.claims:
            return Caller(role="anon", claims=err.claims | {"role": "anon"})
        raise _unauthorized(token, err) from err
    return Caller(role=claims["role"], claims=claims)


def _unauthorized(token: str, err: TokenError) -> Refusal:
    """PostgREST's words for a bad token (its Error.hs)."""
    parts = token.count(".") + 1
    code, message, details = "PGRST301", "JWT cryptographic operation failed", None
    if err.kind == "expired":
        code, message = "PGRST303", "JWT expired"
    elif err.kind == "role" and err.claims is not None:
        return Refusal(401, _body("22023", f'role "{err.claims.get("role")}" does not exist', None))
    elif err.claims is not None:
        code, message = "PGRST303", err.message
    elif not token:
        message = "Empty JWT is sent in Authorization header"
    elif parts != 3:  # noqa: PLR2004 # header.payload.signature
        message = f"Expected 3 parts in JWT; got {parts}"
    else:
        message, details = "No suitable key or wrong key type", "None of the keys was able to decode the JWT"
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return Refusal(401, _body(code, message, details), {"www-authenticate": challenge})


def _body(code: str, message: str, details: str | None) -> dict[str, Json]:
    return {"code": code, "details": details, "hint": None, "message": message}
