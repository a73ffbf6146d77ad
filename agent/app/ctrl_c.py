"""Ctrl-C as a wish: the first is heard and answered, the second ends this process as ever."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def first_ctrl_c() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets. Where it is ignored (`nohup`, a background job of a script) it stays so."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def once() -> None:
        asked.set()
        loop.remove_signal_handler(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGINT, once)
    try:
        yield asked
    finally:
        loop.remove_signal_handler(signal.SIGINT)
