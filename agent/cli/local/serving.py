"""The stack in the foreground, from its start to its end."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.markup import escape

from agent.adapters.sdnotify import SystemdNotify
from agent.app.migrations import apply_migrations
from agent.cli.local.folder import command
from agent.cli.local.steps import next_steps
from agent.cli.output import stderr, stdout
from agent.localstack.home import FIRST_PORT, Home, HomeSettings
from agent.localstack.members import Members
from agent.localstack.rotation import keep_small
from agent.localstack.stack import LocalStack, Options


async def serve(home: Home, wanted: HomeSettings, older: Path | None) -> int:
    """Until cancelled. What was wanted is remembered once it works. `older`: as `Options` has it."""
    stack = LocalStack(
        home.folder,
        port=wanted.port or FIRST_PORT,
        next_free=wanted.port is None,
        options=Options(project=wanted.project, listen=wanted.listening(), older=older),
        progress=say,
        prepare=_migrate,
    )
    systemd = SystemdNotify(os.environ)
    async with stack:
        works = replace(wanted, port=int(stack.url.rsplit(":", 1)[1]))
        if works != home.settings:
            works.save(home.settings_file)
        systemd.say(READY="1", STATUS=f"serving at {stack.url}")
        await _greet(home, stack)
        try:
            await keep_small([home.log, home.postgres_log])
        finally:
            systemd.say(STOPPING="1")
            say("stopping the gateway and Postgres; everything is kept")
    return 0


def say(words: str) -> None:
    """A step, for whoever watches."""
    stderr.print(f"[dim]· {escape(words)}[/]")


async def _migrate(dsn: str) -> None:
    await apply_migrations(dsn, say=lambda _: None)


async def _greet(home: Home, stack: LocalStack) -> None:
    end = "Ctrl-C stops it" if sys.stdout.isatty() else f"`{command(home, 'stop')}` stops it"
    stdout.print(f"the local stack runs at {stack.url} · state in {home.folder} · {end}", markup=False)
    for line in next_steps(home, nobody=not await Members(stack.dsn).all()):
        stdout.print(line, markup=False)
