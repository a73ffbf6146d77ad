"""`cronmirror run`."""

from __future__ import annotations

import asyncio
import os
from enum import StrEnum
from typing import Annotated

import typer

from agent.app.life import Wishes, run_agent
from agent.app.logs import configure
from agent.app.reading import find_config
from agent.cli.options import ConfigOption, StateOption


class LogLevel(StrEnum):
    """How much is said."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """For whom it is said."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


def run(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="How much to say.")] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="`auto`: for people on a terminal, JSON elsewhere.")
    ] = LogFormat.AUTO,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Be this agent even if another machine is: that one then stops.")
    ] = False,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="Stop when standard input ends.", hidden=True)] = False,
) -> None:
    """Run the agent in the foreground: schedule, mirror, requests. Ctrl-C once drains, twice ends running jobs.

    Goes on with the schedule when Supabase is unreachable and reports later. SIGHUP (or saving the file) reloads it.
    """
    configure(level=log_level, style=log_format.value)
    wishes = Wishes(
        config=find_config(config, os.environ),
        state_dir=state_dir,
        takeover=takeover,
        until_eof=until_eof,
        log_level=log_level,
        log_format=log_format.value,
    )
    asyncio.run(run_agent(wishes, os.environ))
