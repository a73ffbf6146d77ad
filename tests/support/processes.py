"""Whether processes are still there. A zombie is not: it waits for a parent, and init may take its time."""

from __future__ import annotations

import psutil


def alive(pid: int) -> bool:
    """Whether this process still runs (or is stopped)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
