"""Resource limits of a run, set by a shell that then becomes the command: they hold before it begins.

Only runs that have limits pay for it: 1 to 2 ms (measured in ADR 11). Doing it in the child between fork and exec
(`preexec_fn`) is unsafe beside threads and would cost every run its vfork; doing it from outside (`prlimit`) comes too
late.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.adapters.process.refusals import look_up
from agent.ports import ProcessSpec

MEMORY_CAN_BE_LIMITED = sys.platform != "darwin"
"""macOS accepts `RLIMIT_AS` and does not heed it."""
CPU_GRACE_S = 5
"""From SIGXCPU, which a program may use to end well, to KILL."""

_KIB = 1024


def within_limits(spec: ProcessSpec) -> Sequence[str]:
    """The command line that runs `spec.argv` within `spec.limits`. Raises `OSError` where there is no such command.

    A limit above the one that the agent itself has is that one: nobody can go beyond it.
    """
    limits, steps = spec.limits, []
    if limits.memory_bytes is not None:
        steps.append(f"ulimit -v {_at_most(limits.memory_bytes, resource.RLIMIT_AS) // _KIB}")
    if limits.cpu_time_s is not None:
        soft = math.ceil(limits.cpu_time_s)
        steps.append(f"ulimit -S -t {_at_most(soft, resource.RLIMIT_CPU)}")
        steps.append(f"ulimit -H -t {_at_most(soft + CPU_GRACE_S, resource.RLIMIT_CPU)}")
    nice = f"nice -n {limits.nice} " if limits.nice else ""
    if not steps and not nice:
        return spec.argv
    _ensure_there(spec)
    script = " && ".join([*steps, f'exec {nice}"$@"'])
    return ["/bin/sh", "-c", script, "limits", *spec.argv]


def _at_most(wanted: int, which: int) -> int:
    hard = resource.getrlimit(which)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _ensure_there(spec: ProcessSpec) -> None:
    """Else the shell would say it, with an exit code that a command may have as well."""
    command = spec.argv[0]
    inside = Path(spec.workdir) / command
    found = inside if "/" in command else look_up(command, spec.env.get("PATH", os.defpath))
    if found is None or not found.exists():
        raise FileNotFoundError(command)
    if found.is_dir() or shutil.which(found) is None:
        raise PermissionError(errno.EACCES, "Permission denied", command)
