"""The programs that every contender runs, by their full paths, and how a process is begun with its output in a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def _path(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"the benchmarks need `{name}` on the PATH")
    return found


NOOP = (_path("true"),)
"""Does nothing and ends well."""
MARK = (_path("date"), "+%s.%N")
"""Says when it was started, in seconds since 1970, first thing and nothing else."""


def begin(program: tuple[str, ...], output: Path | None = None) -> int:
    """The pid of a new process, by the fastest call there is; its output is appended to a file."""
    if output is None:
        return os.posix_spawn(program[0], program, os.environ)
    append = (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.posix_spawn(program[0], program, os.environ, file_actions=[append])


def marks(output: Path) -> list[float]:
    """When the processes that wrote to this file were started, in order; a line that is half there is not yet."""
    text = output.read_text() if output.exists() else ""
    return [float(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
