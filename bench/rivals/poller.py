"""What this product replaces: a script that looks every ten seconds and runs what is queued, one at a time.

`python -m bench.rivals.poller DSN OUTPUT SECONDS`: says `{}` after its first look. It selects, then updates:
a second one beside it would run everything twice.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psycopg

from bench.programs import MARK, begin
from bench.rivals.queue_table import Connection


def look(connection: Connection, output: Path) -> None:
    """Run what is queued now."""
    for (request,) in connection.execute(
        "select id from queue where status = 'queued' order by requested_at"
    ).fetchall():
        connection.execute("update queue set status = 'running', picked_up_at = now() where id = %s", [request])
        _, status = os.waitpid(begin(MARK, output), 0)
        code = os.waitstatus_to_exitcode(status)
        connection.execute(
            "update queue set status = 'done', completed_at = now(), exit_code = %s where id = %s", [code, request]
        )


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], autocommit=True) as session:
        look(session, Path(sys.argv[2]))
        print("{}", flush=True)
        while True:
            time.sleep(float(sys.argv[3]))
            look(session, Path(sys.argv[2]))
