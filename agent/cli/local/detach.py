"""A stack in the background: the same command in a session of its own, its output in a log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from agent.errors import StackError
from agent.localstack.hold import refusal
from agent.localstack.home import Home
from agent.localstack.rotation import rotate

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.05
TAIL_LINES = 12


def detached(home: Home, options: Sequence[str]) -> str:
    """Start it; its URL once it answers, else StackError with the end of its log.

    One that runs is left running, unless `options` want it otherwise: StackError.
    """
    if (holder := home.holder) and holder.url:
        if options:
            raise refusal(home.folder, holder)
        return holder.url
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    rotate(home.log)
    begin = home.log.stat().st_size if home.log.exists() else 0
    with open(home.log, "ab", opener=_private) as log:
        process = subprocess.Popen(
            # -P: nothing is imported from the folder we happen to be in
            [sys.executable, "-P", "-m", "agent", "local", "start", "--dir", str(home.folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if (holder := home.holder) and holder.url:
            return holder.url
        if process.poll() is not None:
            break
        time.sleep(LOOK_EVERY_S)
    said = home.log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()[-TAIL_LINES:]
    ended = process.poll() is not None
    raise StackError(
        f"the local stack {'ended' if ended else 'is not ready'} (see {home.log}):\n" + "\n".join(said),
        hint=None if ended else f"It may still get ready: process {process.pid}.",
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
