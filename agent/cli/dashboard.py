"""`cronmirror dashboard`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.dashboard import dashboard_of, serve, show
from agent.app.reading import find_config, read_config
from agent.cli.options import ConfigOption
from agent.cli.output import stderr, stdout
from agent.cli.stopping import until_stopped
from agent.config.config import Config

PORT = 8642
"""Always the same one: a browser keeps the sign-in by address and port. Below those that systems give out by chance."""


def dashboard(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")
    ] = PORT,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser; print the address alone.")] = False,
    config: ConfigOption = None,
) -> None:
    """Serve the dashboard of your project on this machine alone, and open it in the browser.

    A page without a server behind it: it talks to Supabase as whoever signs in. Ctrl-C ends it.
    """
    # Nobody else's to write: it decides where the password goes that is typed into the page.
    found = read_config(find_config(config, os.environ), os.environ, private=True).config
    raise typer.Exit(asyncio.run(until_stopped(_serve(found, port=port, opens=not no_open))))


async def _serve(config: Config, *, port: int, opens: bool) -> int:
    page = dashboard_of(config)
    with serve(page, port) as server:
        stdout.print(f"the dashboard of {escape(config.project)} is at {server.url} · Ctrl-C ends it")
        if not page.built:
            stderr.print(
                "[yellow]warning:[/] this installation has no built page; what stands there says how to build it"
            )
        if opens and not show(server.url):
            stderr.print("[dim]· there is no screen here to open a browser on[/]")
        await asyncio.Event().wait()
    return 0
