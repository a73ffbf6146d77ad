"""Ending a PostgreSQL server: ours, one whose owner crashed, or one that does not want to.

A server is recognised by its pid file and its command line together: pids are reused after a reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from pathlib import Path

import psutil

WATCHER = r"""
trap '' HUP INT TERM
read -r word
[ "$word" = done ] && exit 0
ours() { { read -r first < "$2"; } 2>/dev/null && [ "$first" = "$1" ] && kill -0 "$1" 2>/dev/null; }
turn=0
while ours "$1" "$2" && [ $turn -lt 150 ]; do
  [ $turn -eq 0 ] && kill -INT "$1"
  [ $turn -eq 100 ] && kill -QUIT "$1"
  sleep 0.1
  turn=$((turn + 1))
done
rm -f "$3/.s.PGSQL.5432" "$3/.s.PGSQL.5432.lock"
rmdir "$3" 2>/dev/null
"""
"""Arguments: pid, pid file, socket folder. Waits on stdin: `done` sends it away, end of file means we are dead."""
SOCKET_LINE = 4
READY_LINE = 7
"""Lines of postmaster.pid, from 0 (PostgreSQL's miscinit.h)."""
FAST_S = 10.0
IMMEDIATE_S = 5.0


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server `pid` accepts connections: line 8 of its pid file says so (as `pg_ctl -w` reads it)."""
    lines = _pid_file(data)
    return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Fast shutdown, then immediate, then SIGKILL; returns when it is gone."""
    for sign, patience in ((signal.SIGINT, FAST_S), (signal.SIGQUIT, IMMEDIATE_S), (signal.SIGKILL, None)):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)


async def end_orphan(data: Path, *, sockets: bool = True) -> None:
    """Stop the server that a dead owner left on `data` and clear its traces. Call it only under the folder's lock.

    `sockets=False` keeps the socket folder: it is the caller's own.
    """
    lines = _pid_file(data)
    if not lines:
        return
    server = _server(lines[0], data)
    if server:
        for sign, patience in ((signal.SIGINT, FAST_S), (signal.SIGQUIT, IMMEDIATE_S), (signal.SIGKILL, IMMEDIATE_S)):
            with contextlib.suppress(psutil.NoSuchProcess):
                server.send_signal(sign)
            if await _gone(server, patience):
                break
    # A stale pid file keeps the server from starting once another process has that pid.
    (data / "postmaster.pid").unlink(missing_ok=True)
    socket_dir = Path(lines[SOCKET_LINE].strip()) if len(lines) > SOCKET_LINE else Path()
    if sockets and socket_dir.name.startswith("cronmirror-"):
        shutil.rmtree(socket_dir, ignore_errors=True)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _server(pid: str, data: Path) -> psutil.Process | None:
    """The live process `pid` if it is a PostgreSQL server of `data`."""
    try:
        process = psutil.Process(int(pid))
        return process if str(data) in process.cmdline() else None
    except (ValueError, psutil.Error):
        return None


async def _gone(process: psutil.Process, patience: float) -> bool:
    end = asyncio.get_running_loop().time() + patience
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.02)
    return True
