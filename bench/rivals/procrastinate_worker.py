"""Procrastinate's own worker: `python -m bench.rivals.procrastinate_worker DSN CONCURRENCY drain|serve`.

`drain` works until nothing is left and then says `{}`; `serve` says `{}` first and works until it is ended.
"""

from __future__ import annotations

import asyncio
import sys

from bench.rivals.procrastinate_queue import application


async def work(dsn: str, concurrency: int, *, serve: bool) -> None:
    """With the worker's own defaults."""
    async with (app := application(dsn, concurrency)).open_async():
        if serve:
            print("{}", flush=True)
        await app.run_worker_async(concurrency=concurrency, wait=serve)
        if not serve:
            print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2]), serve=sys.argv[3] == "serve"))
