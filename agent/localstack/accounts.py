"""Users, sessions and refresh tokens in the schema `auth`, with GoTrue's rules of rotation and reuse.

A revoked token is accepted within the reuse interval, and for as long as it is the parent of the active one
(the client could not store the answer); any other reuse revokes the whole session's tokens.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

import bcrypt
from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import UniqueViolation
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

HASHES_AT_ONCE = max(1, (os.cpu_count() or 2) // 2)
"""Passwords hashed at once: a flood of sign-ins leaves a core for everything else."""

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


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where a session was begun: the peer's address and what it calls itself."""

    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What to change of a user; None leaves it as it is. In metadata, null removes a member."""

    email: str | None = None
    new_email: str | None = None
    """An address that waits to be confirmed; `email` settles it."""
    password: str | None = None
    role: str | None = None
    confirm: bool = False
    app_metadata: Mapping[str, Json] | None = None
    user_metadata: Mapping[str, Json] | None = None
    ban: timedelta | None = None
    """From now on; zero lifts it."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of all users, newest first."""

    users: list[Row]
    total: int


class Reused(Exception):
    """A refresh token older than the rules allow: its family is revoked."""


class Taken(Exception):
    """The address belongs to somebody else."""


class Accounts:
    """Reads and writes the schema `auth` through a pool of `supabase_auth_admin`."""

    def __init__(self, pool: Pool, *, reuse_s: float = REUSE_S, rounds: int = BCRYPT_ROUNDS) -> None:
        self._pool = pool
        self._reuse_s = reuse_s
        self._rounds = rounds
        self._hashed_decoy = b""
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)

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
        """A new user's row, or None when the address is taken. Taken when the id is."""
        hashed = await self._hash(password)
        provider = {"provider": "email", "providers": ["email"]}
        verified = {"email_verified": True} if confirm else {}
        values = {
            "id": user_id,
            "email": email,
            "password": hashed,
            "role": role,
            "confirm": confirm,
            "app_metadata": Jsonb(provider | dict(app_metadata or {})),
            "user_metadata": Jsonb(dict(user_metadata or {}) | verified),
        }
        async with self._pool.connection() as connection:
            try:
                return await _one(connection, "create_user", values)
            except UniqueViolation as err:
                raise Taken from err

    async def user(self, user_id: UUID) -> Row | None:
        """The row of one user."""
        async with self._pool.connection() as connection:
            return await _one(connection, "user_by_id", {"id": user_id})

    async def users(self, *, limit: int, offset: int, containing: str = "") -> Page:
        """`limit` users from `offset` on whose address or full name contains a text."""
        values = {"limit": limit, "offset": offset, "like": f"%{containing}%" if containing else None}
        async with self._pool.connection() as connection:
            total = await _one(connection, "count_users", values)
            cursor: AsyncCursor[Row] = connection.cursor(row_factory=dict_row)
            async with cursor:
                await cursor.execute(SQL["list_users"], values)
                return Page(users=await cursor.fetchall(), total=int(total["count"]) if total else 0)

    async def change(self, user_id: UUID, changes: Changes, *, keep_session: UUID | None = None) -> Row | None:
        """The changed row, or None when there is no such user; Taken when the address is somebody else's.

        A new password ends every session but `keep_session`: whoever else knew the old one is out.
        """
        user_patch = dict(changes.user_metadata or {}) | ({"email_verified": True} if changes.confirm else {})
        app_patch = dict(changes.app_metadata or {})
        values = {
            "id": user_id,
            "email": changes.email,
            "new_email": changes.new_email,
            "password": await self._hash(changes.password) if changes.password is not None else None,
            "role": changes.role,
            "confirm": changes.confirm,
            "app_metadata": Jsonb({name: value for name, value in app_patch.items() if value is not None}),
            "app_gone": [name for name, value in app_patch.items() if value is None],
            "user_metadata": Jsonb({name: value for name, value in user_patch.items() if value is not None}),
            "user_gone": [name for name, value in user_patch.items() if value is None],
            "ban": changes.ban is not None,
            "banned_for": changes.ban or None,
        }
        async with self._pool.connection() as connection:
            try:
                user = await _one(connection, "change_user", values)
            except UniqueViolation as err:
                raise Taken from err
            if changes.password is not None:
                await connection.execute(SQL["logout_others"], {"user_id": user_id, "session_id": keep_session})
        return user

    async def is_taken(self, email: str, *, by_other_than: UUID) -> bool:
        """Whether somebody else has this address."""
        async with self._pool.connection() as connection:
            found = await _one(connection, "user_by_email", {"email": email})
        return found is not None and found["id"] != by_other_than

    async def remove(self, user_id: UUID) -> None:
        """Delete a user for good, with everything that hangs on the row."""
        async with self._pool.connection() as connection:
            await connection.execute(SQL["delete_user"], {"id": user_id})

    async def bury(self, user_id: UUID) -> None:
        """GoTrue's soft delete: the row stays, nothing in it tells who it was, nobody signs in as it."""
        async with self._pool.connection() as connection:
            await connection.execute(SQL["bury_user"], {"id": user_id})
            await connection.execute(SQL["logout_global"], {"user_id": user_id})

    async def session_exists(self, session_id: UUID, user_id: UUID) -> bool:
        """Whether this user's session has not been ended."""
        async with self._pool.connection() as connection:
            found = await _one(connection, "session_by_id", {"id": session_id})
        return found is not None and found["user_id"] == user_id

    async def has_been_at(self, email: str, ip: str) -> bool:
        """Whether a session of this user was begun at this address and has not been ended."""
        async with self._pool.connection() as connection:
            return await _one(connection, "session_at", {"email": email, "ip": ip}) is not None

    async def verify(self, email: str, password: str) -> Row | None:
        """The user whose password this is; None for an unknown address and for a wrong password alike."""
        async with self._pool.connection() as connection:
            user = await _one(connection, "user_by_email", {"email": email})
        stored = str(user["encrypted_password"] or "").encode() if user else b""
        # Without such a user something is compared all the same, so that the answer takes as long.
        matches = await self._compare(password, stored or self._decoy())
        return user if matches and stored else None

    async def has_password(self, user: Row, password: str) -> bool:
        """Whether this is the password that the user has now."""
        stored = str(user["encrypted_password"] or "").encode()
        return bool(stored) and await self._compare(password, stored)

    async def _compare(self, password: str, hashed: bytes) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(_matches, password, hashed)

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return (await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(self._rounds))).decode()

    def _decoy(self) -> bytes:
        self._hashed_decoy = self._hashed_decoy or bcrypt.hashpw(b"nobody's", bcrypt.gensalt(self._rounds))
        return self._hashed_decoy

    async def sign_in(self, user_id: UUID, device: Device | None = None) -> Granted:
        """A new session with its first refresh token."""
        at = device or Device()
        token = _token()
        async with self._pool.connection() as connection:
            user = await _one(connection, "touch_sign_in", {"id": user_id})
            session = await _one(
                connection, "create_session", {"user_id": user_id, "ip": at.ip, "user_agent": at.user_agent}
            )
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

    async def sign_out(self, user_id: UUID, session_id: UUID | None, scope: Scope) -> None:
        """End this session, the user's others, or all of them (all, too, where there is no "this")."""
        scope = scope if session_id else "global"
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
