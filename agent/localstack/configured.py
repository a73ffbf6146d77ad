"""Settings kept with a database (`alter database … set`), which neither a plain dump nor `pg_dumpall` carries over.

Carried by `set … from current`: only the server knows how its lists are quoted.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from agent.localstack.connected import connected

Setting = tuple[str | None, str, str]
"""Role (None: everybody in the database), name, value."""

READ = """
select r.rolname, split_part(line, '=', 1), substr(line, strpos(line, '=') + 1)
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_database d on d.oid = s.setdatabase and d.datname = 'postgres'
left join pg_catalog.pg_roles r on r.oid = s.setrole
cross join unnest(s.setconfig) with ordinality as lines (line, place)
order by 1 nulls first, place
"""


async def read_settings(dsn: str) -> list[Setting]:
    """Those of the database `postgres`."""
    async with connected(dsn) as connection:
        rows = await (await connection.execute(READ.encode())).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


async def write_settings(dsn: str, database: str, settings: Sequence[Setting]) -> None:
    """Give them to `database`; the roles must be there. psycopg.Error for one that this server does not know."""
    async with connected(dsn) as connection:
        for role, name, value in settings:
            where = sql.Identifier(database)
            whose = (
                sql.SQL("database {}").format(where)
                if role is None
                else sql.SQL("role {} in database {}").format(sql.Identifier(role), where)
            )
            await connection.execute("select pg_catalog.set_config(%s, %s, true)", [name, value])
            keep = sql.SQL("alter {} set {} from current").format(whose, sql.Identifier(*name.split(".")))
            await connection.execute(keep)
