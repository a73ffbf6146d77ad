"""The secrets of one installation: JWT secret, signing key and API keys, the latter as legacy JWTs and as `sb_…`.

Sessions are signed with the asymmetric key (ES256), as in new hosted projects; the legacy keys, and whatever else
the shared secret (HS256) has signed, stay valid. Generated once per state directory, in a file only its owner reads.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Self

import jwt

from agent.errors import StackError
from agent.localstack.signing import ALGORITHM, SigningKey
from agent.model.value import Json

ISSUER = "cronmirror"
ROLES = ("anon", "authenticated", "service_role")
"""The roles a token may name; nothing else reaches `SET ROLE`."""
MAX_TOKEN_CHARS = 16 * 1024
SIGNATURES_REMEMBERED = 256
"""A signature is checked once, not with every request of its bearer: that costs 130 µs, remembering it 1 µs."""
LAST_INSTANT = 1e15
"""Unix times beyond are no times; nor is NaN, which is not smaller than anything."""
YEAR_S = 365 * 24 * 3600

TokenFault = Literal["expired", "signature", "malformed", "role"]


class TokenError(Exception):
    """A token that is not accepted; `kind` says why. `claims` are set where the signature held."""

    def __init__(self, kind: TokenFault, message: str, claims: dict[str, Json] | None = None) -> None:
        super().__init__(message)
        self.kind: TokenFault = kind
        self.message = message
        self.claims = claims


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Four API keys, two per role, and what signs the tokens of this installation."""

    jwt_secret: str
    anon_key: str
    service_key: str
    publishable_key: str
    secret_key: str
    signing_key: str
    """PEM of the ES256 key; its public half is in the JWKS."""

    def __repr__(self) -> str:
        """Show the public keys only: reprs end up in logs."""
        return f"Keys(publishable_key={self.publishable_key!r}, …)"

    @classmethod
    def generate(cls) -> Self:
        """New random keys; the legacy ones are JWTs valid for ten years."""
        secret = secrets.token_urlsafe(48)
        return cls(
            jwt_secret=secret,
            anon_key=_sign(secret, {"iss": ISSUER, "role": "anon"}, 10 * YEAR_S),
            service_key=_sign(secret, {"iss": ISSUER, "role": "service_role"}, 10 * YEAR_S),
            publishable_key=_opaque("sb_publishable_"),
            secret_key=_opaque("sb_secret_"),
            signing_key=SigningKey.generate().pem,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the keys saved at `path`, adding what an older version did not have; StackError names a broken file."""
        try:
            found = json.loads(path.read_text("utf-8"))
            older = "signing_key" not in found
            if older:
                found["signing_key"] = SigningKey.generate().pem
            keys = cls(**{each.name: str(found[each.name]) for each in fields(cls)})
            keys.signer.jwk()
        except (OSError, ValueError, TypeError, KeyError) as err:
            raise StackError(
                f"{path}: the keys of the local stack cannot be read ({err})",
                hint="Remove the file to have new keys made: every stored session of this stack ends.",
            ) from err
        if older:
            keys.save(path)
        return keys

    @classmethod
    def load_or_generate(cls, path: Path) -> Self:
        """The keys at `path`, made and saved there the first time."""
        if path.exists():
            return cls.load(path)
        keys = cls.generate()
        keys.save(path)
        return keys

    def save(self, path: Path) -> None:
        """Write JSON with mode 0600, whole or not at all."""
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            json.dump(asdict(self), out, indent=2)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)

    @cached_property
    def signer(self) -> SigningKey:
        """What signs the sessions of users."""
        return SigningKey.from_pem(self.signing_key)

    def jwks(self) -> dict[str, Json]:
        """The public keys, for `/.well-known/jwks.json`; never the shared secret."""
        return {"keys": [self.signer.jwk()]}

    def issue(self, claims: Mapping[str, Json], ttl_s: int) -> str:
        """A user's token: as `mint`, but signed with the key that the JWKS names."""
        return self.signer.sign(_timed(claims, ttl_s))

    def mint(self, claims: Mapping[str, Json], ttl_s: int) -> str:
        """An HS256 token with `claims`, `iat` now, `exp` in `ttl_s` seconds (claims may state their own)."""
        return _sign(self.jwt_secret, claims, ttl_s)

    def verify(self, token: str, *, now: float | None = None, leeway_s: float = 0) -> dict[str, Json]:
        """The claims of `token`, or TokenError.

        `now` is Unix time (default: the wall clock); `leeway_s` is the skew allowed on `exp` and `nbf`
        (PostgREST allows 30 s, GoTrue and Realtime none). Signature before time before role, so that
        `expired` and `role` are only said about our own tokens.
        """
        claims = self._signed(token)
        instant = time.time() if now is None else now
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LAST_INSTANT:
                raise TokenError("malformed", f"the claim {name!r} must be a number", claims)
        if "exp" in claims and instant >= claims["exp"] + leeway_s:
            raise TokenError("expired", "token has expired", claims)
        if instant < claims.get("nbf", 0) - leeway_s:
            raise TokenError("malformed", "token is not valid yet", claims)
        if claims.get("role") not in ROLES:
            raise TokenError("role", "the token names no role of this stack", claims)
        return claims

    def _signed(self, token: str) -> dict[str, Json]:
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenError("malformed", f"token is longer than {MAX_TOKEN_CHARS} characters")
        return dict(self._checked(token))

    @cached_property
    def _checked(self) -> Callable[[str], dict[str, Json]]:
        return lru_cache(SIGNATURES_REMEMBERED)(self._check)

    def _check(self, token: str) -> dict[str, Json]:
        """The claims, if the signature holds. Each key has one algorithm, whatever the header says."""
        unchecked = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        unchecked |= {"verify_iss": False, "verify_sub": False, "verify_jti": False}
        try:
            ours = jwt.get_unverified_header(token).get("kid") == self.signer.kid
            key, algorithm = (self.signer.public, ALGORITHM) if ours else (self.jwt_secret, "HS256")
            return jwt.decode(token, key, algorithms=[algorithm], options=unchecked)  # type: ignore[arg-type]  # a TypedDict with every key optional
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as err:
            raise TokenError("signature", "token was not signed by this stack") from err
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as err:
            raise TokenError("malformed", "token is not a JWT") from err

    def role_of_api_key(self, key: str) -> Literal["anon", "service_role"] | None:
        """The role that an `apikey` grants; None for anything that is not one of the four keys."""
        given = key.encode("utf-8", "surrogatepass")
        found: Literal["anon", "service_role"] | None = None
        for known in (self.anon_key, self.publishable_key):
            if hmac.compare_digest(given, known.encode()):
                found = "anon"
        for known in (self.service_key, self.secret_key):
            if hmac.compare_digest(given, known.encode()):
                found = "service_role"
        return found


def _timed(claims: Mapping[str, Json], ttl_s: int) -> dict[str, Json]:
    issued = int(time.time())
    return {"iat": issued, "exp": issued + ttl_s, **claims}


def _sign(secret: str, claims: Mapping[str, Json], ttl_s: int) -> str:
    return jwt.encode(_timed(claims, ttl_s), secret, algorithm="HS256")


def _opaque(prefix: str) -> str:
    """The shape of hosted keys: 22 characters, underscore, 8 characters."""
    return f"{prefix}{secrets.token_urlsafe(16)}_{secrets.token_urlsafe(6)}"
