"""`cronmirror connections login`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.connecting import connection_named, open_keeper
from agent.app.place import Place, open_place
from agent.app.signing_in import Way, obtain
from agent.cli.connections.options import ConnectionArgument, failed
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import ago, plain, stderr, stdout
from agent.errors import Refused
from agent.model import DevicePrompt, Failure, Tokens


def login(
    connection: ConnectionArgument,
    browser: Annotated[bool, typer.Option("--browser", help="In a browser on this machine.")] = False,
    paste: Annotated[
        bool, typer.Option("--paste", help="In a browser anywhere; hand over the address at which it ended.")
    ] = False,
    device: Annotated[bool, typer.Option("--device", help="By a code that is typed into any browser.")] = False,
    other_account: Annotated[
        bool, typer.Option("--other-account", help="It may be another account than before.")
    ] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Sign in to a connection; the tokens stay on this machine. A running agent takes them up, held jobs run again.

    By a code where the connection's grant is `device_code`, else in the browser.
    """
    chosen = [way for way, asked in ((Way.BROWSER, browser), (Way.PASTE, paste), (Way.DEVICE, device)) if asked]
    if len(chosen) > 1:
        raise typer.BadParameter("give one of --browser, --paste and --device")
    place = open_place(config, state_dir)
    way = chosen[0] if chosen else None
    tokens = asyncio.run(_login(place, connection, way, other_account=other_account))
    who = f" as {escape(plain(tokens.account))}" if tokens.account else ""
    stdout.print(f"signed in to {escape(connection)}{who}; {_until(tokens)}")


async def _login(place: Place, connection_id: str, way: Way | None, *, other_account: bool) -> Tokens:
    connection = connection_named(place.config, connection_id)
    async with open_keeper(place.config, place.state) as kept:
        tokens = await obtain(kept.providers, connection, Terminal(), os.environ, way=way)
        if isinstance(tokens, Failure):
            raise failed(connection_id, tokens)
        refused = await kept.keeper.accept(connection_id, tokens, other_account_ok=other_account)
        if refused is not None:
            raise Refused(f"{connection_id}: {refused.message}", hint="If that is meant: --other-account.")
        return tokens


def _until(tokens: Tokens) -> str:
    if tokens.expires_at is None:
        return "the provider does not say when the token expires"
    how = "and is then refreshed" if tokens.refresh_token else "and cannot be refreshed: sign in again by then"
    return f"the token expires {ago(tokens.expires_at)} {how}"


class Terminal:
    """`agent.app.signing_in.Guide` on a terminal: addresses on stderr, so that stdout has the outcome alone."""

    def by_browser(self, url: str, *, opened: bool) -> None:
        """Sign in there."""
        stderr.print("sign in in the browser that opens now; if none does, at:" if opened else "sign in at:")
        stderr.print(f"  {escape(plain(url))}")

    def by_paste(self, url: str) -> str:
        """Sign in there; returns the address at which the browser ended."""
        stderr.print("sign in at:")
        stderr.print(f"  {escape(plain(url))}")
        stderr.print("then give the whole address at which the browser ended (its page need not load):")
        return input() if sys.stdin.isatty() else sys.stdin.readline()

    def by_device(self, prompt: DevicePrompt) -> None:
        """Type the code there."""
        stderr.print(f"open {escape(plain(prompt.verification_uri))} in any browser and give this code:")
        stderr.print(f"  [bold]{escape(plain(prompt.user_code))}[/]")
        stderr.print(f"[dim]· it expires {ago(prompt.expires_at)}; waiting …[/]")
