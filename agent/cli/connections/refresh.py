"""`cronmirror connections refresh`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.connecting import connection_named, open_keeper
from agent.app.place import Place, open_place
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import ago, plain, stdout
from agent.model import Refreshed, Standing

_STYLES = {Refreshed.REFRESHED: "green", Refreshed.FAILED: "red", Refreshed.SKIPPED: "yellow"}


def refresh(
    connections: Annotated[
        list[str] | None, typer.Argument(metavar="[CONNECTION]…", help="Their ids; default: all of them.")
    ] = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Refresh tokens now, whatever their age. One that fails does not stop the others; exit code 1 if one did."""
    place = open_place(config, state_dir)
    outcomes = asyncio.run(_refresh(place, connections or [each.connection_id for each in place.config.connections]))
    for connection_id, (outcome, standing) in outcomes.items():
        told = f"expires {ago(standing.token_expires_at)}" if outcome is Refreshed.REFRESHED else _why(standing)
        stdout.print(f"{escape(connection_id)}: [{_STYLES[outcome]}]{outcome}[/], {escape(plain(told))}")
    if any(outcome is not Refreshed.REFRESHED for outcome, _ in outcomes.values()):
        raise typer.Exit(1)


def _why(standing: Standing) -> str:
    return standing.last_refresh_error or "nobody has signed in yet"


async def _refresh(place: Place, names: list[str]) -> dict[str, tuple[Refreshed, Standing]]:
    for name in names:
        connection_named(place.config, name)
    async with open_keeper(place.config, place.state) as kept:
        found = await asyncio.gather(*(kept.keeper.refresh_now(name) for name in names))
        standings = {each.connection_id: each for each in kept.keeper.standings()}
        return {name: (outcome, standings[name]) for name, outcome in zip(names, found, strict=True)}
