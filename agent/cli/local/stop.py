"""`cronmirror local stop`."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil
from rich.markup import escape

from agent.cli.local.folder import DirOption, home_in
from agent.cli.output import stdout
from agent.errors import StackError
from agent.localstack.hold import Holder, refusal
from agent.localstack.home import Home

PATIENCE_S = 40.0
"""Answers end, Postgres writes its last checkpoint; then by force, which loses nothing either."""
LOOK_EVERY_S = 0.05


def stop(folder: DirOption = None) -> None:
    """Stop the stack. Everything in it is kept; `reset` is what empties it."""
    home = home_in(folder)
    holder = home.holder
    if holder is None:
        stdout.print(f"no local stack runs in {escape(str(home.folder))}", soft_wrap=True)
        return
    if holder.doing != "running":
        raise refusal(home.folder, holder)
    process = _process(holder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, number)
        if _gone(home, holder, process):
            stdout.print(f"stopped; the state is kept in {escape(str(home.folder))}", soft_wrap=True)
            return
    raise StackError(f"process {holder.pid} of the local stack does not end")


def _process(holder: Holder) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(holder.pid)
    return None


def _gone(home: Home, holder: Holder, process: psutil.Process | None) -> bool:
    """Whether it has let go of the folder, and ended (it does that last)."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        now = home.holder
        if (now is None or now.pid != holder.pid) and not _lives(process):
            return True
        time.sleep(LOOK_EVERY_S)
    return False


def _lives(process: psutil.Process | None) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
