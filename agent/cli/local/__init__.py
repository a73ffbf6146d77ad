"""`cronmirror local …`: a Supabase of one's own on this machine, kept for good. One verb per file."""

from __future__ import annotations

import typer

from agent.cli.local.backup import backup
from agent.cli.local.env import env
from agent.cli.local.install import install
from agent.cli.local.member import member
from agent.cli.local.members import members
from agent.cli.local.reset import reset
from agent.cli.local.restore import restore
from agent.cli.local.start import start
from agent.cli.local.status import status
from agent.cli.local.stop import stop
from agent.cli.local.uninstall import uninstall

local = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
for verb in (start, stop, status, env, member, members, backup, restore, reset, install, uninstall):
    local.command(verb.__name__)(verb)


@local.callback()
def about() -> None:
    """A Supabase of your own on this machine, for good: Postgres, API, sign-in, Realtime, dashboard. No account."""


__all__ = ["local"]
