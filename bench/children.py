"""Processes that a measure starts: each in a session of its own, each ended by its pid, whatever happens to us.

Ctrl-C is ours to pass on. When we are killed with SIGKILL, their standard input ends, and they end by themselves.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
STOP_S = 15.0


@asynccontextmanager
async def child(module: str, *arguments: str, log: IO[bytes] | None = None) -> AsyncIterator[Process]:
    """`python -m module …`, its output on a pipe or in `log`; ended with TERM, TERM, KILL on the way out."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        stdin=PIPE,
        stdout=log or PIPE,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Ask twice, then kill. Returns when the process is gone."""
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            continue


def line(said: Any) -> bytes:
    """JSON as a child reads it."""
    return json.dumps(said).encode() + b"\n"


async def answer(process: Process) -> Any:
    """The next line that the process writes, as JSON. RuntimeError when it ended instead."""
    assert process.stdout is not None
    said = await process.stdout.readline()
    if not said:
        raise RuntimeError(f"a program of the benchmark ended with {await process.wait()} instead of answering")
    return json.loads(said)


async def run(module: str, *arguments: str) -> Any:
    """Start `python -m module …`, wait for its one line of JSON."""
    async with child(module, *arguments) as process:
        return await answer(process)
