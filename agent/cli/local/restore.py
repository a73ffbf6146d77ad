"""`cronmirror local restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agent.adapters.files import StateDir
from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, command, home_in
from agent.cli.output import stderr, stdout


def restore(
    file: Annotated[Path, typer.Argument(help="What `cronmirror local backup` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the stack now, its keys included.")
    ] = False,
    folder: DirOption = None,
) -> None:
    """Make the stack what a backup holds: on this machine or another, from this PostgreSQL or an older one.

    The stack must be stopped, and empty unless `--force`. Its keys are the backup's afterwards: pages and agents that
    knew them go on. Whatever happens on the way, the database is as it was before, or as the backup was.
    """
    with embedded_stack():
        from agent.localstack.backup import check  # noqa: PLC0415
        from agent.localstack.restore import restore as put_back  # noqa: PLC0415
    home = home_in(folder)
    about = check(file)
    StateDir(home.folder)
    asyncio.run(put_back(home, file, about, replace=force, say=_say))
    stdout.print(f"restored, as of {about.made_at}. Start it: {command(home, 'start')}", markup=False)


def _say(words: str) -> None:
    stderr.print(f"[dim]· {escape(words)}[/]")
