"""Logs that do not grow for ever: beyond a limit the content moves to `NAME.1` and the file begins anew.

By copying and cutting, not by renaming: the writers (PostgreSQL, a detached stack's stdout) keep the file open, and
append.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger()

LIMIT = 1_000_000
EVERY_S = 60.0


def rotate(path: Path, *, limit: int = LIMIT) -> bool:
    """Cut the log at `path` if it is larger than `limit` bytes; one earlier part is kept. Whether it was."""
    try:
        if path.stat().st_size <= limit:
            return False
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        path.with_name(f"{path.name}.1").chmod(0o600)
        with path.open("r+b") as file:
            file.truncate(0)
    except FileNotFoundError:
        return False
    except OSError as err:
        log.warning("a log could not be rotated", path=str(path), error=str(err))
        return False
    return True


async def keep_small(paths: Sequence[Path], *, limit: int = LIMIT, every_s: float = EVERY_S) -> None:
    """Look at them for ever."""
    while True:
        for path in paths:
            await asyncio.to_thread(rotate, path, limit=limit)
        await asyncio.sleep(every_s)
