"""The least that a durable queue in Postgres can do: SKIP LOCKED, `posix_spawn`, update to done, in one session.

`python -m bench.rivals.queue_floor DSN CONCURRENCY BATCH`: drains the table `queue` until it is empty. BATCH 1 claims
and finishes rows one by one; more claims that many ahead, and writes ends together once there are as many or nothing
runs.
"""

from __future__ import annotations

import os
import sys
from collections import deque

import psycopg

from bench.programs import NOOP, begin
from bench.rivals.queue_table import Connection, claim, finish


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
                finish(self._connection, self._ended)
                self._ended.clear()
                continue
            if not self._running:
                return
            pid, status = os.wait()
            self._ended.append((self._running.pop(pid), os.waitstatus_to_exitcode(status)))

    def _begin(self) -> None:
        while len(self._running) < self._concurrency:
            if not self._ahead and not self._empty:
                self._ahead.extend(claim(self._connection, self._batch))
                self._empty = not self._ahead
            if not self._ahead:
                return
            self._running[begin(NOOP)] = self._ahead.popleft()


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], autocommit=True) as session:
        Drain(session, int(sys.argv[2]), int(sys.argv[3])).run()
    print("{}", flush=True)
