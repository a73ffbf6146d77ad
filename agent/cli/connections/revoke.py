"""`cronmirror connections revoke`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.connecting import connection_named, open_keeper
from agent.app.place import Place, open_place
from agent.cli.connections.options import ConnectionArgument, failed
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import plain, stderr, stdout
from agent.errors import TemporaryError
from agent.model import Failure, FailureKind


def revoke(
    connection: ConnectionArgument,
    only_here: Annotated[
        bool, typer.Option("--only-here", help="Forget the tokens without telling the provider.")
    ] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Make the tokens worthless at the provider's and forget them. Its jobs are held until somebody signs in again."""
    had, refused = asyncio.run(_revoke(open_place(config, state_dir), connection, tell=not only_here))
    if not had:
        stdout.print(f"there are no tokens of {escape(connection)}")
        return
    where = "here" if only_here or refused else "here and at the provider's"
    stdout.print(f"the tokens of {escape(connection)} are gone {where}")
    if refused:
        stderr.print(f"[yellow]warning:[/] the provider did not revoke them: {escape(plain(refused.message))}")


async def _revoke(place: Place, connection_id: str, *, tell: bool) -> tuple[bool, Failure | None]:
    """Whether there was something, and why the provider did not revoke it.

    Where it could not be asked nothing is forgotten: the tokens are what it would have to be told.
    """
    connection = connection_named(place.config, connection_id)
    async with open_keeper(place.config, place.state) as kept:
        tokens = await kept.store.tokens(connection_id)
        refused = await kept.providers.revoke(connection, tokens) if tokens is not None and tell else None
        if refused is not None and refused.kind is not FailureKind.PERMANENT:
            error = failed(connection_id, refused)
            raise TemporaryError(str(error), hint="Nothing was forgotten. Try again, or forget them with --only-here.")
        await kept.keeper.forget(connection_id)
        return tokens is not None, refused
