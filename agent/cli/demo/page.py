"""Builds the dashboard beside everything else: on a fresh clone it takes longer than Postgres to start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

LONG_S = 2.0
"""A build that took less had nothing to do."""
STOP_S = 5.0


class PageBuild:
    """Runs `command` (None: nothing to do) while entered, what it says going to `log`."""

    def __init__(self, command: str | None, *, log: Path) -> None:
        self.log = log
        self._command = shlex.split(command or "")
        self._process: asyncio.subprocess.Process | None = None
        self._fault: str | None = None
        self._began = self._took = 0.0

    async def __aenter__(self) -> Self:
        self._began = time.monotonic()
        if self._command:
            with self.log.open("wb") as log, self._faults():
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # npm, Node and what they start are ended together
                )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self.running:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), STOP_S)
                    return

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """A build that can't even begin is one without a page, not the end of the demo."""
        try:
            yield
        except OSError as err:
            self._fault = str(err)

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None and self._process.returncode is None

    @property
    def was_long(self) -> bool:
        """Whether it really built something."""
        return self._took > LONG_S

    async def ended(self) -> str | None:
        """Wait for its end: None when all is well, else the last thing it said."""
        if self._process is None:
            return self._fault
        code = await self._process.wait()
        self._took = time.monotonic() - self._began
        if code == 0:
            return None
        said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return said[-1].strip() if said else f"{shlex.join(self._command)} ended with {code}"
