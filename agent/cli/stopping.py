"""What runs until the person has had enough: Ctrl-C is its end, not its failure."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any


async def until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`; the first SIGINT, SIGTERM or SIGHUP cancels it, and nothing keeps it from cleaning up.

    `make` hands on a SIGTERM that the whole group had already, and people press Ctrl-C twice.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return 0
