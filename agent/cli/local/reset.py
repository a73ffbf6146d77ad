"""`cronmirror local reset`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.cli.local.folder import DirOption, command, home_in
from agent.cli.output import stdout
from agent.errors import StackError
from agent.localstack.hold import refusal
from agent.localstack.home import no_stack
from agent.localstack.postgres import Cluster


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="The keys, the settings and the logs, too: a new stack with new keys.")
    ] = False,
    folder: DirOption = None,
) -> None:
    """Empty the stack: all its users, projects, jobs and runs. Keys and address stay, unless `--all`.

    It must be stopped. There is no way back but a backup.
    """
    home = home_in(folder)
    if not home.exists:
        raise no_stack(home.folder)
    if holder := home.holder:
        raise refusal(home.folder, holder)
    what = "the whole local stack" if everything else "everything in the database of the local stack"
    if not yes:
        if not sys.stdin.isatty():
            raise StackError(f"this would remove {what} in {home.folder}", hint="If that is wanted: --yes")
        typer.confirm(f"Remove {what} in {home.folder}?", abort=True)
    Cluster(home.data, doing="it is emptied").erase()
    if everything:
        for kept in home.files():
            kept.unlink(missing_ok=True)
    stdout.print(f"removed {what}. Begin anew: {escape(command(home, 'start'))}", soft_wrap=True)
