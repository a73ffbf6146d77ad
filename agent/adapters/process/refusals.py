"""Why a command could not be started: one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from agent.ports import ProcessSpec


def why_not_started(spec: ProcessSpec, err: OSError | ValueError) -> str:
    """One sentence: what is wrong, where, and what to do."""
    command, workdir = spec.argv[0], Path(spec.workdir)
    if isinstance(err, ValueError):
        return f"{command!r} was not started: {err} in its arguments or environment; remove it from the job."
    if not workdir.is_dir():
        what = "is not a directory" if workdir.exists() else "does not exist"
        return f'workdir "{workdir}" {what}; create it, or correct `workdir` of the job.'
    if not os.access(workdir, os.X_OK):
        return f'workdir "{workdir}" cannot be entered by this user; change its permissions, or `workdir` of the job.'
    path = spec.env.get("PATH", os.defpath)
    found = workdir / command if "/" in command else look_up(command, path)
    if found is None:
        return f'command "{command}" was not found on the PATH ({path}); install it, or write its full path.'
    return _why_not_executed(found, err)


def _why_not_executed(file: Path, err: OSError) -> str:
    if not file.exists():
        return f'command "{file}" does not exist; correct `run` of the job, or install it.'
    if file.is_dir():
        return f'command "{file}" is a directory; name the program inside of it.'
    if err.errno == errno.ENOENT:
        return f'the interpreter that "{file}" names in its first line does not exist; correct that line.'
    if err.errno == errno.ENOEXEC:
        return f'"{file}" is no program and has no "#!" line; add one, or name its interpreter: [sh, {file}].'
    if err.errno == errno.EACCES:
        return f'"{file}" is not executable for this user; try: chmod +x {file}'
    return f'"{file}" could not be started: {err.strerror}; free what the system ran out of and run it again.'


def look_up(command: str, path: str) -> Path | None:
    """The file a PATH search finds, executable or else at least there."""
    for mode in (os.F_OK | os.X_OK, os.F_OK):
        if found := shutil.which(command, mode=mode, path=path):
            return Path(found)
    return None
