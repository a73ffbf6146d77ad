"""Procrastinate's own worker: `python -m bench.rivals.procrastinate_worker DSN CONCURRENCY`, until nothing is left."""

from __future__ import annotations

import asyncio
import sys

from bench.rivals.procrastinate_queue import application


async def work(dsn: str, concurrency: int) -> None:
    """Until nothing is left."""
    async with (app := application(dsn, concurrency)).open_async():
        await app.run_worker_async(concurrency=concurrency, wait=False)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
    print("{}", flush=True)
