"""What pruning costs: beats over 100,000 runs of 100 jobs, and the same history in the agent's journal."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from agent.adapters.clock import SystemClock
from agent.adapters.sqlite import Journal
from agent.app.migrations import apply_migrations
from agent.localstack.bootstrap import bootstrap
from agent.localstack.postgres import Cluster
from agent.model import Report, RunStatus, Trigger, Verdict, VerdictKind
from bench.figures import Effort, percentiles

SEED = Path(__file__).parent / "retention.sql"
RUNS, JOBS = 100_000, 100
BEATS = 40
HELLO = "select public.cron_agent_hello('bench', 'mac-mini', 0, gen_random_uuid(), '{}', '{}')"
BEAT = "select public.cron_agent_beat('bench', 'mac-mini', 1, '[]', '{}', '{}')"
DUE = b"update public.cron_projects set pruned_at = null, swept_at = now()"
RESTING = b"update public.cron_projects set pruned_at = now(), swept_at = now()"
LEFT = "select count(*) from public.cron_runs"


async def measure(effort: Effort) -> dict[str, Any]:
    """`{"beat": {"pruning", "resting", "runs_deleted"}, "journal": {…}}`."""
    with tempfile.TemporaryDirectory(prefix="cronmirror-bench-") as folder:
        count = effort.choose(RUNS, 5_000)
        return {"beat": await _beats(Path(folder)), "journal": await _journal(Path(folder), count)}


async def _beats(folder: Path) -> dict[str, Any]:
    cluster = Cluster(folder / "postgres")
    await cluster.start()
    try:
        await bootstrap(cluster.dsn(), cluster.password)
        await apply_migrations(cluster.dsn(), say=lambda _: None)
        async with await psycopg.AsyncConnection.connect(cluster.dsn(), autocommit=True) as database:
            await database.execute(SEED.read_bytes())
            await database.execute(HELLO)
            resting = [await _beat(database, RESTING) for _ in range(BEATS)]
            before = await _one(database, LEFT)
            pruning = [await _beat(database, DUE) for _ in range(BEATS)]
            deleted = before - await _one(database, LEFT)
    finally:
        await cluster.stop()
    return {
        "runs": RUNS,
        "pruning": percentiles(pruning, 50, 95),
        "resting": percentiles(resting, 50, 95),
        "runs_deleted": deleted,
    }


async def _beat(database: psycopg.AsyncConnection, first: bytes) -> float:
    await database.execute(first)
    return await _timed(lambda: database.execute(BEAT.encode()))


async def _one(database: psycopg.AsyncConnection, query: str) -> int:
    row = await (await database.execute(query.encode())).fetchone()
    assert row is not None
    return int(row[0])


async def _journal(folder: Path, count: int) -> dict[str, Any]:
    """Write the history with its reports, have them answered, and let the journal forget what it need not keep."""
    path = folder / "journal.sqlite3"
    journal = await Journal.open(path, SystemClock(), outbox_limit=10**9)
    began = time.monotonic()
    try:
        for first in range(0, count, 500):
            await asyncio.gather(*(journal.record(_run(number)) for number in range(first, first + 500)))
            entries = await journal.pending(500, 10**9)
            await journal.settle(
                {entry.seq: Verdict(run_id=entry.report.run_id, kind=VerdictKind.ACCEPTED) for entry in entries}
            )
        took = time.monotonic() - began
    finally:
        await journal.close()
    return {"runs": count, "records_per_s": round(count / took), "mib_afterwards": round(_size(folder) / 2**20, 1)}


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob("journal.sqlite3*"))


def _run(number: int) -> Report:
    at = datetime.now(UTC) - timedelta(seconds=RUNS - number)
    return Report(
        run_id=uuid4(),
        job_id=f"job-{number % JOBS}",
        trigger=Trigger.SCHEDULE,
        status=RunStatus.OK,
        started_at=at,
        finished_at=at,
        duration_ms=0,
        output="x" * 2000,
    )


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000
