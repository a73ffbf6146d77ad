"""A PostgreSQL that somebody else runs (`DATABASE_URL`), with the surface of `Cluster`."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent.errors import StackError
from agent.localstack.bootstrap import MARK
from agent.localstack.connected import connected


class ExternalDatabase:
    """Uses the database of `url`; its user must be a superuser. `password` is given to the gateway's own roles."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self.password = password

    def dsn(self, dbname: str | None = None, user: str | None = None) -> str:
        """The given URL; with `user`, that role's own login."""
        change: dict[str, str] = {"dbname": dbname} if dbname else {}
        if user:
            change |= {"user": user, "password": self.password}
        return make_conninfo(self._url, **change)

    async def start(self) -> None:
        """See that it answers, is set up for Realtime, and is not somebody's Supabase; else StackError."""
        where = conninfo_to_dict(self._url).get("host", "the local socket")
        try:
            async with connected(self._url, connect_timeout=10) as connection:
                cursor = await connection.execute(
                    "select current_setting('wal_level'), current_setting('is_superuser'), "
                    "obj_description(to_regnamespace('auth'), 'pg_namespace'), to_regnamespace('auth') is not null"
                )
                row = await cursor.fetchone()
        except psycopg.Error as err:
            raise StackError(f"the database at {where} does not answer: {err}") from err
        level, superuser, mark, has_auth = row or ("", "off", None, False)
        if has_auth and mark != MARK:
            raise StackError(
                f"the database at {where} already has a schema `auth` that is not this stack's",
                hint="It looks like a Supabase project: use it as one (supabase.url), or give an empty database.",
            )
        if superuser != "on":
            raise StackError(f"the user of the database at {where} is not a superuser")
        if level != "logical":
            raise StackError(
                f"the database at {where} runs with wal_level={level}; Realtime needs logical",
                hint="alter system set wal_level = 'logical', then restart it.",
            )

    async def stop(self) -> None:
        """Nothing: it is not ours."""
