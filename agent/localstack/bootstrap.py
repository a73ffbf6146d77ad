"""Make a bare PostgreSQL look like a new Supabase project (`bootstrap.sql`). Idempotent; needs a superuser."""

from __future__ import annotations

from importlib.resources import files

import psycopg
from psycopg import sql

from agent.errors import StackError
from agent.localstack.connected import connected

LOGINS = ("authenticator", "supabase_auth_admin")
"""Roles that the gateway itself logs in as."""
MARK = "local stack of Cronmirror"
"""Comment on the schema `auth`: tells our database from a genuine Supabase one."""
LOCK = 7_245_001
"""Advisory lock: two stacks on one external database bootstrap one after the other."""


async def bootstrap(dsn: str, password: str) -> None:
    """Apply `bootstrap.sql` through `dsn` and give the login roles `password`. StackError names what was refused."""
    script = (files("agent.localstack") / "bootstrap.sql").read_text("utf-8")
    try:
        async with connected(dsn) as connection:
            await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
            await connection.execute(script.encode())
            await connection.execute(sql.SQL("comment on schema auth is {}").format(sql.Literal(MARK)))
            for role in LOGINS:
                # Hashed here, so that the password itself never is in a statement.
                verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
                await connection.execute(
                    sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
                )
    except psycopg.Error as err:
        raise StackError(f"the database could not be prepared: {err}") from err
