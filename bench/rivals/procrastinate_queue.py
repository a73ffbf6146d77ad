"""Procrastinate with tasks that run a process: its queue is filled here, and its own figures are read.

Set up as its documentation has it, with a connection for each job at a time: the pool's usual four would slow it down.
Its worker and whoever queues agree on the names of the tasks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from procrastinate import App, PsycopgConnector

from bench.programs import MARK, NOOP, begin

SPARE_CONNECTIONS = 4
"""Beside one for each job that runs: listening, heartbeat, fetching."""
RATE = """
select count(*) filter (where type = 'succeeded')
  / extract(epoch from max(at) filter (where type = 'succeeded') - min(at) filter (where type = 'started'))::float8,
  (select bool_and(status = 'succeeded') from procrastinate_jobs)
from procrastinate_events
"""

QUEUED_AT = """
select extract(epoch from at)::float8 as at from procrastinate_events where job_id = %(job)s and type = 'deferred'
"""


def application(dsn: str, concurrency: int) -> App:
    """An app with the tasks `noop` and `mark`."""
    connector = PsycopgConnector(conninfo=dsn, max_size=concurrency + SPARE_CONNECTIONS)
    app = App(connector=connector)
    app.task(name="noop")(noop)
    app.task(name="mark")(mark)
    return app


async def noop() -> None:
    """Run a process by the fastest way that was found from its loop: no thread, no transport."""
    await reap(begin(NOOP))


async def mark(output: str) -> None:
    """As `noop`, with the process's output in a file."""
    await reap(begin(MARK, Path(output)))


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


@asynccontextmanager
async def emptied(dsn: str) -> AsyncIterator[App]:
    """An open app whose queue is empty; the schema is made where there is none."""
    app = application(dsn, 1)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.connector.execute_query_async("truncate procrastinate_jobs cascade")
        yield app


async def queue(dsn: str, count: int) -> None:
    """An empty queue with `count` jobs that do nothing."""
    async with emptied(dsn) as app:
        await app.tasks["noop"].batch_defer_async(*({} for _ in range(count)))


async def queued_at(app: App, job: int) -> float:
    """When a job came to be, in seconds since 1970."""
    row = await app.connector.execute_query_one_async(QUEUED_AT, job=job)
    return float(row["at"])


def rate(dsn: str) -> float:
    """Jobs per second by its own events, from the first start to the last end. RuntimeError when not all are done."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(RATE).fetchone()
    if row is None or not row[1]:
        raise RuntimeError("Procrastinate left jobs behind")
    return float(row[0])
