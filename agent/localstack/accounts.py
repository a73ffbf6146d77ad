"""Users, sessions and refresh tokens in the schema `auth`, with GoTrue's rules of rotation and reuse.

A revoked token is accepted within the reuse interval, and for as long as it is the parent of the active one
(the client could not store the answer); any other reuse revokes the whole session's tokens.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import bcrypt
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from agent.localstack.pool import Pool
from agent.localstack.queries import load
from agent.model.value import Json

SQL = load("auth.sql")
REUSE_S = 10.0
TOKEN_CHARS = 12
BCRYPT_LIMIT = 72
"""bcrypt reads this many bytes; GoTrue refuses longer passwords."""
BCRYPT_ROUNDS = 10
ALPHABET = string.ascii_lowercase + string.digits

Row = dict[str, Json]
Scope = Literal["global", "local", "others"]


@dataclass(frozen=True, kw_only=True)
class Granted:
    """A session that may be given tokens: the user's row, the session's id, the refresh token to hand out."""

    user: Row
    session_id: UUID
    refresh_token: str
    session_created: float
    """Unix time of the sign-in, for the claim `amr`."""


class Reused(Exception):
    """A refresh token older than the rules allow: its family is revoked."""


class Accounts:
    """Reads and writes the schema `auth` through a pool of `supabase_auth_admin`."""

    def __init__(self, pool: Pool, *, reuse_s: float = REUSE_S, rounds: int = BCRYPT_ROUNDS) -> None:
        self._pool = pool
        self._reuse_s = reuse_s
        self._rounds = rounds
        self._hashed_decoy = b""

    async def create(
        self,
        email: str,
        password: str,
        *,
        user_id: UUID | None = None,
        role: str = "authenticated",
        confirm: bool = True,
        app_metadata: Mapping[str, Json] | None = None,
        user_metadata: Mapping[str, Json] | None = None,
    ) -> Row | None:
        """A new user's row, or None when the address is taken."""
        hashed = await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(self._rounds))
        provider = {"provider": "email", "providers": ["email"]}
        verified = {"email_verified": True} if confirm else {}
        values = {
            "id": user_id,
            "email": email,
            "password": hashed.decode(),
            "role": role,
            "confirm": confirm,
            "app_metadata": Jsonb(provider | dict(app_metadata or {})),
            "user_metadata": Jsonb(dict(user_metadata or {}) | verified),
        }
        async with self._pool.connection() as connection:
            return await _one(connection, "create_user", values)

    async def user(self, user_id: UUID) -> Row | None:
        """The row of one user."""
        async with self._pool.connection() as connection:
            return await _one(connection, "user_by_id", {"id": user_id})

    async def session_exists(self, session_id: UUID) -> bool:
        """Whether a session has not been ended."""
        async with self._pool.connection() as connection:
            return await _one(connection, "session_by_id", {"id": session_id}) is not None

    async def verify(self, email: str, password: str) -> Row | None:
        """The user whose password this is; None for an unknown address and for a wrong password alike."""
        async with self._pool.connection() as connection:
            user = await _one(connection, "user_by_email", {"email": email})
        stored = str(user["encrypted_password"] or "").encode() if user else b""
        # Without such a user something is compared all the same, so that the answer takes as long.
        matches = await asyncio.to_thread(_matches, password, stored or self._decoy())
        return user if matches and stored else None

    def _decoy(self) -> bytes:
        self._hashed_decoy = self._hashed_decoy or bcrypt.hashpw(b"nobody's", bcrypt.gensalt(self._rounds))
        return self._hashed_decoy

    async def sign_in(self, user_id: UUID) -> Granted:
        """A new session with its first refresh token."""
        token = _token()
        async with self._pool.connection() as connection:
            user = await _one(connection, "touch_sign_in", {"id": user_id})
            session = await _one(connection, "create_session", {"user_id": user_id})
            if user is None or session is None:
                raise LookupError(user_id)
            owner = {"user_id": user_id, "session_id": session["id"]}
            await connection.execute(SQL["grant_token"], owner | {"token": token, "parent": None})
        return _granted(user, session, token)

    async def refresh(self, token: str) -> Granted | None:
        """The next refresh token of `token`'s session; None if it is unknown; Reused (and revoked) if too old."""
        async with self._pool.connection() as connection:
            found = await _one(connection, "token_for_update", {"token": token, "reuse_s": self._reuse_s})
            if found is None:
                return None
            issued = await self._rotate(connection, found)
            user = await _one(connection, "user_by_id", {"id": found["user_id"]})
            session = await _one(connection, "session_by_id", {"id": found["session_id"]})
            await connection.execute(SQL["refreshed_session"], {"id": found["session_id"]})
        # Outside: the revocation of a reused token's family has to be committed.
        if issued is None or user is None or session is None:
            raise Reused
        return _granted(user, session, issued)

    async def _rotate(self, connection: AsyncConnection, found: Row) -> str | None:
        """The token to hand out for `found`, or None after the family was revoked."""
        if found["revoked"]:
            active = await _one(connection, "active_token", {"session_id": found["session_id"]})
            if active and active["parent"] == found["token"]:
                return str(active["token"])
            if not found["reusable"]:
                await connection.execute(SQL["revoke_family"], {"session_id": found["session_id"]})
                return None
        await connection.execute(SQL["revoke_token"], {"id": found["id"]})
        owner = {"user_id": found["user_id"], "session_id": found["session_id"]}
        token = _token()
        await connection.execute(SQL["grant_token"], owner | {"token": token, "parent": found["token"]})
        return token

    async def sign_out(self, user_id: UUID, session_id: UUID, scope: Scope) -> None:
        """End this session, the user's others, or all of them."""
        async with self._pool.connection() as connection:
            await connection.execute(SQL[f"logout_{scope}"], {"user_id": user_id, "session_id": session_id})


async def _one(connection: AsyncConnection, name: str, values: Mapping[str, Json]) -> Row | None:
    # The row factory belongs to the cursor: set on a pooled connection it would leak to the next user.
    cursor: AsyncCursor[Row] = connection.cursor(row_factory=dict_row)
    async with cursor:
        await cursor.execute(SQL[name], values)
        return await cursor.fetchone()


def _matches(password: str, hashed: bytes) -> bool:
    given = password.encode("utf-8", "surrogatepass")
    return len(given) <= BCRYPT_LIMIT and b"\0" not in given and bcrypt.checkpw(given, hashed)


def _token() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(TOKEN_CHARS))


def _granted(user: Row, session: Row, token: str) -> Granted:
    created = session["created_at"].timestamp()
    return Granted(user=user, session_id=session["id"], refresh_token=token, session_created=created)
