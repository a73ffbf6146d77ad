"""`cronmirror connections …`: the OAuth logins of jobs. One verb per file."""

from __future__ import annotations

import typer

from agent.cli.connections.login import login
from agent.cli.connections.refresh import refresh
from agent.cli.connections.revoke import revoke
from agent.cli.connections.status import status

connections = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
for verb in (login, status, refresh, revoke):
    connections.command(verb.__name__)(verb)


@connections.callback()
def about() -> None:
    """The OAuth logins that jobs use: sign in, look, refresh, revoke. Works with and without a running agent."""


__all__ = ["connections"]
