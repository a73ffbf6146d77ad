"""The least time from a row to its process: LISTEN, SKIP LOCKED, `posix_spawn`; nothing else in the process.

`python -m bench.rivals.listen_floor DSN OUTPUT`: says `{}` when it listens, serves the table `queue` until it is ended.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg

from bench.programs import MARK, begin
from bench.rivals.queue_table import Connection, claim, finish


def serve(connection: Connection, output: Path) -> None:
    """One at a time, woken by the notification of each insert."""
    connection.execute("listen queue")
    print("{}", flush=True)
    while True:
        for _ in connection.notifies(stop_after=1):
            pass  # what comes while we claim is kept for the next round
        while ids := claim(connection, 1):
            _, status = os.waitpid(begin(MARK, output), 0)
            finish(connection, [(ids[0], os.waitstatus_to_exitcode(status))])


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], autocommit=True) as session:
        serve(session, Path(sys.argv[2]))
