"""A running `cronmirror demo`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.agent_process import ROOT
from tests.support.waiting import wait_until


class Demo:
    """Its gateway's port, and what it has said so far."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    @property
    def said(self) -> str:
        """On standard output and standard error."""
        return self._log.read_text(errors="replace")


@contextlib.asynccontextmanager
async def running_demo(folder: Path, *options: str, **environ: str) -> AsyncIterator[Demo]:
    """From its "Try in another terminal" on. Ended as Ctrl-C ends it."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        demo = Demo(found.getsockname()[1], folder.with_suffix(".log"))
    with folder.with_suffix(".log").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "demo", "--dir", str(folder), "--port", str(demo.port), *options),
            **surroundings(**environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:

        def watching() -> bool:
            assert process.returncode is None, demo.said
            return "Try in another terminal" in demo.said

        await wait_until(watching, 60)
        yield demo
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(process.wait(), 40)
    assert code == 0, demo.said


def surroundings(**environ: str) -> dict[str, Any]:
    """Where and in which environment a command of ours is started."""
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG") or "COV" in name}
    return {"cwd": ROOT, "env": keep | environ}
