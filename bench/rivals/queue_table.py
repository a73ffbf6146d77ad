"""The plain queue in Postgres that the floors and the poller work on, in a database of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

TABLE = Path(__file__).with_name("queue_table.sql").read_bytes()
FILL = "insert into queue (status) select 'queued' from generate_series(1, %s)"
ADD = "insert into queue default values returning extract(epoch from requested_at)::float8"
CLAIM = """
update queue set status = 'running', picked_up_at = now()
where id in (select id from queue where status = 'queued' order by id limit %s for update skip locked)
returning id
"""
FINISH = """
update queue set status = 'done', completed_at = now(), exit_code = ended.code
from unnest(%s::bigint[], %s::int[]) as ended (id, code) where queue.id = ended.id
"""
RATE = """
select count(*) / extract(epoch from max(completed_at) - min(picked_up_at))::float8, bool_and(status = 'done')
from queue
"""

Connection = psycopg.Connection[tuple[Any, ...]]


def create(dsn: str, count: int = 0) -> None:
    """An empty table, with `count` queued rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(FILL, [count])


def add(connection: Connection) -> float:
    """Queue one; its `requested_at` in seconds since 1970."""
    row = connection.execute(ADD).fetchone()
    assert row is not None
    return float(row[0])


def claim(connection: Connection, limit: int) -> list[int]:
    """Ids of at most `limit` rows that are ours now."""
    return [row[0] for row in connection.execute(CLAIM, [limit])]


def finish(connection: Connection, ended: Sequence[tuple[int, int]]) -> None:
    """Ids with their exit codes."""
    connection.execute(FINISH, [[each[0] for each in ended], [each[1] for each in ended]])


def rate(dsn: str) -> float:
    """Rows per second from the first claim to the last end. RuntimeError when not all are done."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(RATE).fetchone()
    if row is None or not row[1]:
        raise RuntimeError("a queue was left with rows in it")
    return float(row[0])
