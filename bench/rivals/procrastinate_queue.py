"""Procrastinate with one task that runs a process: its queue is filled here, and its own figures are read."""

from __future__ import annotations

import asyncio
import os

import psycopg
from procrastinate import App, PsycopgConnector

from bench.programs import NOOP

SPARE_CONNECTIONS = 4
"""Beside one for each job that runs: listening, heartbeat, fetching."""
RATE = """
select count(*) filter (where type = 'succeeded')
  / extract(epoch from max(at) filter (where type = 'succeeded') - min(at) filter (where type = 'started'))::float8,
  (select bool_and(status = 'succeeded') from procrastinate_jobs)
from procrastinate_events
"""


def application(dsn: str, concurrency: int) -> App:
    """As its documentation has it, with a connection for each job: the default of four would slow it down."""
    connector = PsycopgConnector(conninfo=dsn, max_size=concurrency + SPARE_CONNECTIONS)
    app = App(connector=connector)
    app.task(name="noop")(noop)
    return app


async def noop() -> None:
    """The fastest way that was found to run a process from its loop: no thread, no transport."""
    await reap(os.posix_spawn(NOOP[0], NOOP, os.environ))  # noqa: ASYNC221 # takes 0.5 ms, asyncio's own takes more


async def reap(pid: int) -> None:
    """Wait for a child's end: through the loop where there are pidfds (Linux), else in a thread."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.to_thread(os.waitpid, pid, 0)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(pid)
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    os.waitpid(pid, 0)  # noqa: ASYNC222 # it has ended


async def queue(dsn: str, count: int) -> None:
    """An empty queue with `count` jobs; the schema where there is none."""
    app = application(dsn, 1)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("truncate procrastinate_jobs cascade")
        await app.tasks["noop"].batch_defer_async(*({} for _ in range(count)))


def rate(dsn: str) -> float:
    """Jobs per second by its own events, from the first start to the last end. RuntimeError when not all are done."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(RATE).fetchone()
    if row is None or not row[1]:
        raise RuntimeError("Procrastinate left jobs behind")
    return float(row[0])
