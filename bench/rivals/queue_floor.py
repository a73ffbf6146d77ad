"""The least that a durable queue in Postgres can do: SKIP LOCKED, `posix_spawn`, update to done, in one session.

`python -m bench.rivals.queue_floor DSN CONCURRENCY BATCH`: drains the table `queue` until it is empty. BATCH 1 claims
and finishes rows one by one; more claims that many ahead, and writes ends together once there are as many or nothing
runs. `create` makes the table, and empties it.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import Any

import psycopg

from bench.programs import NOOP

CREATE = """
create table if not exists queue (
  id bigint generated always as identity primary key,
  status text not null default 'queued',
  requested_at timestamptz not null default now(),
  picked_up_at timestamptz,
  completed_at timestamptz,
  exit_code int
);
create index if not exists queue_queued on queue (id) where status = 'queued';
truncate queue
"""
FILL = "insert into queue (status) select 'queued' from generate_series(1, %s)"
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


def create(dsn: str, count: int) -> None:
    """An empty table with `count` queued rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(FILL, [count])


def rate(dsn: str) -> float:
    """Rows per second from the first claim to the last end. RuntimeError when not all are done."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(RATE).fetchone()
    if row is None or not row[1]:
        raise RuntimeError("the queue's floor left rows behind")
    return float(row[0])


class Drain:
    """Claimed and not begun, running by pid, ended and not written."""

    def __init__(self, connection: Connection, concurrency: int, batch: int) -> None:
        self._connection, self._concurrency, self._batch = connection, concurrency, batch
        self._ahead: deque[int] = deque()
        self._running: dict[int, int] = {}
        self._ended: list[tuple[int, int]] = []
        self._empty = False

    def run(self) -> None:
        """Until no row is left."""
        while True:
            self._begin()
            if len(self._ended) >= self._batch or (self._ended and not self._running):
                self._write()
                continue
            if not self._running:
                return
            pid, status = os.wait()
            self._ended.append((self._running.pop(pid), os.waitstatus_to_exitcode(status)))

    def _begin(self) -> None:
        while len(self._running) < self._concurrency:
            if not self._ahead and not self._empty:
                self._ahead.extend(row[0] for row in self._connection.execute(CLAIM, [self._batch]))
                self._empty = not self._ahead
            if not self._ahead:
                return
            pid = os.posix_spawn(NOOP[0], NOOP, os.environ)
            self._running[pid] = self._ahead.popleft()

    def _write(self) -> None:
        self._connection.execute(FINISH, [[each[0] for each in self._ended], [each[1] for each in self._ended]])
        self._ended.clear()


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], autocommit=True) as session:
        Drain(session, int(sys.argv[2]), int(sys.argv[3])).run()
    print("{}", flush=True)
