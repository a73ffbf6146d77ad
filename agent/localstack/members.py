"""Who may do what in the projects of a stack of our own: users and their memberships, over the superuser's address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import bcrypt
from psycopg.rows import dict_row

from agent.errors import StackError
from agent.localstack.accounts import BCRYPT_LIMIT, BCRYPT_ROUNDS, Accounts
from agent.localstack.connected import connected
from agent.localstack.pool import Pool
from agent.localstack.queries import load

SQL = load("members.sql")
Role = Literal["admin", "operator", "viewer", "agent"]


class Members:
    """Reads and writes `auth.users` and the product's tables. `dsn` is the superuser's; the schema must be there."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def add(self, project: str, roles: Mapping[UUID, Role]) -> None:
        """Make the project, if it is new, and these users its members; one who is a member gets the new role."""
        async with connected(self._dsn) as connection:
            await connection.execute(SQL["add_project"], {"project": project})
            for user_id, role in roles.items():
                values = {"project": project, "user_id": user_id, "role": role}
                await connection.execute(SQL["add_member"], values)

    async def remove(self, project: str, email: str) -> bool:
        """End a membership; the user stays. False: there was none."""
        return bool(await self._rows("remove_member", {"project": project, "email": email}))

    async def all(self) -> list[dict[str, Any]]:
        """Of every project: `project, email, role, agent_id, last_sign_in_at`."""
        return await self._rows("members", {})

    async def user(self, email: str) -> UUID | None:
        """The id of the user with this address."""
        rows = await self._rows("user_of", {"email": email})
        return rows[0]["id"] if rows else None

    async def create_user(self, email: str, password: str, *, rounds: int = BCRYPT_ROUNDS) -> UUID:
        """A new, confirmed user. StackError for a taken address or a password that can't be one."""
        _check(password)
        pool = Pool(self._dsn, 1)
        await pool.start()
        try:
            created = await Accounts(pool, rounds=rounds).create(email, password)
        finally:
            await pool.stop()
        if created is None:
            raise StackError(f"{email} is already a user of the local stack")
        return UUID(str(created["id"]))

    async def set_password(self, user_id: UUID, password: str, *, rounds: int = BCRYPT_ROUNDS) -> None:
        """Another password; the user's sessions end."""
        _check(password)
        hashed = await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(rounds))
        async with connected(self._dsn) as connection:
            await connection.execute(SQL["set_password"], {"user_id": user_id, "password": hashed.decode()})
            await connection.execute(SQL["end_sessions"], {"user_id": user_id})

    async def _rows(self, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with connected(self._dsn, row_factory=dict_row) as connection:
            return await (await connection.execute(SQL[name], values)).fetchall()


def _check(password: str) -> None:
    if not password or "\0" in password:
        raise StackError("a password has at least one character, and no NUL")
    if len(password.encode()) > BCRYPT_LIMIT:
        raise StackError(f"the password is longer than {BCRYPT_LIMIT} bytes")
