"""`cronmirror connections status`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from agent.app.connecting import open_keeper
from agent.app.place import Place, open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import ago, plain, print_json, stdout
from agent.model import Standing


def status(config: ConfigOption = None, state_dir: StateOption = None, as_json: JsonOption = False) -> None:
    """How each connection stands: whose account, until when its token is good, what went wrong last."""
    standings = asyncio.run(_standings(open_place(config, state_dir)))
    if as_json:
        print_json({"connections": [_row(each) for each in standings]})
        return
    if not standings:
        stdout.print("there are no connections in the configuration")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("connection", "provider", "account", "state", "expires", "refreshed"):
        table.add_column(heading)
    for each in standings:
        words, style = state_of(each)
        table.add_row(
            escape(each.connection_id),
            escape(each.provider),
            escape(plain(each.account or "–")),
            f"[{style}]{words}[/]",
            ago(each.token_expires_at),
            ago(each.last_refresh_at),
        )
    stdout.print(table)
    for each in standings:
        if each.last_refresh_error:
            stdout.print(f"[dim]· {escape(each.connection_id)}: {escape(plain(each.last_refresh_error))}[/]")


def state_of(standing: Standing) -> tuple[str, str]:
    """What it is called, as on the dashboard but for one that nobody has ever signed in to, and its colour."""
    if standing.is_active:
        return "Active", "green"
    if standing.last_refresh_at is None:
        return "Not signed in", "yellow"
    return "Needs re-authentication", "red"


def _row(standing: Standing) -> dict[str, object]:
    return {
        "id": standing.connection_id,
        "provider": standing.provider,
        "account": standing.account,
        "scopes": list(standing.scopes),
        "state": state_of(standing)[0],
        "needs_reauth": standing.needs_reauth,
        "token_expires_at": standing.token_expires_at,
        "last_refresh_at": standing.last_refresh_at,
        "last_refresh_error": standing.last_refresh_error,
        "last_failure_kind": standing.last_failure_kind,
        "consecutive_failures": standing.consecutive_failures,
        "consecutive_transient_failures": standing.consecutive_transient_failures,
    }


async def _standings(place: Place) -> Sequence[Standing]:
    async with open_keeper(place.config, place.state) as kept:
        return kept.keeper.standings()
