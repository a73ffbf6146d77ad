"""From the first signal to the last: what `cronmirror run` does with an agent.

SIGTERM or SIGINT once: drain (no new claims, running jobs may finish). Twice: end running jobs. Three times: leave.
SIGHUP: read the configuration again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.adapters.files import StateDir
from agent.app.agent import Agent
from agent.app.configuration import Configuration
from agent.app.given import opened
from agent.app.logs import LogFormat, configure
from agent.app.reading import read_config
from agent.errors import ConfigError, CronmirrorError

log = structlog.get_logger()

EXIT_AT_ONCE = 130


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the person said on the command line."""

    config: Path
    state_dir: Path | None
    takeover: bool = False
    until_eof: bool = False
    """Stop when standard input ends: for whoever starts the agent and may be killed."""
    log_level: str = "info"
    log_format: LogFormat = "auto"


async def run_agent(wishes: Wishes, environ: Mapping[str, str]) -> None:
    """Run the agent until it is told to stop. Raises `ConfigError`, `StateError`, `Superseded`, `HelloRefused`."""
    state = _state(wishes, environ)
    configuration = Configuration.open(wishes.config, state, environ)
    configure(level=wishes.log_level, style=wishes.log_format, redact=configuration.redactor)
    signals = _Signals(configuration)  # from now on: a reload or a stop may come while the agent is still recovering
    async with opened(configuration, state, environ, takeover=wishes.takeover) as given:
        agent = Agent(given)
        await agent.start()
        if wishes.until_eof:
            signals.stop_at_eof()
        failure = await _until_told(agent, signals)
        await _finish(agent, signals)
    if failure is not None:
        raise failure


def _state(wishes: Wishes, environ: Mapping[str, str]) -> StateDir:
    if wishes.state_dir is not None:
        return StateDir(wishes.state_dir)
    try:
        project = read_config(wishes.config, environ, private=True).config.project
    except ConfigError as err:
        raise ConfigError(err.problems) from None
    return StateDir.of_project(project, environ)


class _Signals:
    """Counts the requests to stop."""

    def __init__(self, configuration: Configuration) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = 0
        self.told = asyncio.Event()
        self.hurry = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGHUP, configuration.reloader.reload_now)

    def stop(self) -> None:
        """Drain; the second time end running jobs; the third time leave."""
        self._asked += 1
        self.told.set()
        if self._asked == 2:  # noqa: PLR2004 - the second signal (DESIGN, life of the agent)
            log.warning("told to stop again; ending running jobs")
            self.hurry.set()
        elif self._asked > 2:  # noqa: PLR2004 - the third
            log.error("told to stop a third time; leaving at once, the next start cleans up")
            os._exit(EXIT_AT_ONCE)

    def stop_at_eof(self) -> None:
        """Take the end of standard input, be it a pipe, a file or nothing, for a SIGTERM."""
        threading.Thread(target=self._read_to_the_end, name="end of input", daemon=True).start()

    def _read_to_the_end(self) -> None:
        with contextlib.suppress(OSError):  # closed is ended as well
            while os.read(sys.stdin.fileno(), 4096):
                pass
        with contextlib.suppress(RuntimeError):  # the agent has ended meanwhile
            self._loop.call_soon_threadsafe(self.stop)


async def _until_told(agent: Agent, signals: _Signals) -> CronmirrorError | None:
    """None when a person asked, else why the agent can't go on."""
    told = asyncio.ensure_future(signals.told.wait())
    failed = asyncio.ensure_future(agent.wait_failed())
    await asyncio.wait((told, failed), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if failed.done():
        log.error("the agent can't go on", error=str(failed.result()))
        return failed.result()
    failed.cancel()
    return None


async def _finish(agent: Agent, signals: _Signals) -> None:
    """Drain, or end what runs as soon as somebody asks twice; then say goodbye."""
    drained = asyncio.ensure_future(agent.drain())
    hurried = asyncio.ensure_future(signals.hurry.wait())
    await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not drained.done():
        await agent.cancel()
    await drained
    await agent.stop()
