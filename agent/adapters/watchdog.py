"""Ends the process when its event loop is stuck, so that launchd or systemd starts it afresh.

A thread counts its own steps in which the loop did not answer. Not time: while the machine sleeps or the process is
stopped (SIGSTOP) the thread makes no steps either, and afterwards the loop gets its chance before anything is counted
against it. It needs the interpreter's lock; a loop that holds that one for ever is left to systemd's own watchdog.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()

LIMIT_S = 60.0
"""Reading 10,000 jobs takes 3–8 s, in a thread; nothing else may hold the loop for long."""
STEP_S = 1.0
EXIT_CODE = 70
_LAST_WORDS_S = 5.0


class Watchdog:
    """`feed` it from the loop at least every few seconds between `start` and `stop`."""

    def __init__(
        self, *, limit_s: float = LIMIT_S, step_s: float = STEP_S, end: Callable[[float], None] | None = None
    ) -> None:
        self._limit_s = limit_s
        self._step_s = step_s
        self._end = end or end_process
        self._fed = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch; also show every thread's stack when the process is aborted (systemd's watchdog)."""
        faulthandler.enable()
        self._thread.start()

    def feed(self) -> None:
        """The loop turns."""
        self._fed += 1

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        seen, stuck_s = -1, 0.0
        while not self._stopped.wait(self._step_s):
            if self._fed != seen:
                seen, stuck_s = self._fed, 0.0
                continue
            stuck_s += self._step_s
            if stuck_s >= self._limit_s:
                self._end(stuck_s)
                return


def end_process(stuck_s: float) -> None:
    """Say why, show every stack, leave. What runs is ended by the next start."""
    leaving = threading.Timer(_LAST_WORDS_S, os._exit, [EXIT_CODE])  # the log itself may be what is stuck
    leaving.daemon = True
    leaving.start()
    log.critical("the event loop is stuck; ending, so that a new process begins", seconds=round(stuck_s))
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(EXIT_CODE)
