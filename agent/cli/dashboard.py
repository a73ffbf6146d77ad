"""`cronmirror dashboard`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.dashboard import dashboard_of, export_to, serve, show
from agent.app.reading import find_config, read_config
from agent.cli.options import ConfigOption
from agent.cli.output import stderr, stdout
from agent.cli.stopping import until_stopped
from agent.config.config import Config
from agent.control.hosts import own_name

PORT = 8642
"""Always the same one: a browser keeps the sign-in by address and port. Below those that systems give out by chance."""


def dashboard(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")
    ] = PORT,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser; print the address alone.")] = False,
    host_name: Annotated[
        list[str] | None,
        typer.Option("--host-name", metavar="NAME", help="Answer under this name too: of a proxy or tunnel to here."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Serve nothing; write the page there, for any static host."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Serve the dashboard of your project on this machine alone, and open it in the browser.

    A page without a server behind it: it talks to Supabase as whoever signs in. Ctrl-C ends it.
    """
    # Nobody else's to write: it decides where the password goes that is typed into the page.
    found = read_config(find_config(config, os.environ), os.environ, private=True).config
    if export is not None:
        _export(found, export)
        return
    names = [_name(each) for each in host_name or ()]
    raise typer.Exit(asyncio.run(until_stopped(_serve(found, port=port, opens=not no_open, names=names))))


def _name(given: str) -> str:
    try:
        return own_name(given)
    except ValueError as err:
        raise typer.BadParameter(str(err), param_hint="--host-name") from err


def _export(config: Config, folder: Path) -> None:
    count = export_to(folder, config)
    stdout.print(
        f"the dashboard of {escape(config.project)} is in {escape(str(folder))}, {count} files: upload all of it"
    )


async def _serve(config: Config, *, port: int, opens: bool, names: list[str]) -> int:
    page = dashboard_of(config)
    with serve(page, port, names) as server:
        stdout.print(f"the dashboard of {escape(config.project)} is at {server.url} · Ctrl-C ends it")
        if not page.built:
            stderr.print(
                "[yellow]warning:[/] this installation has no built page; what stands there says how to build it"
            )
        if opens and not show(server.url):
            stderr.print("[dim]· there is no screen here to open a browser on[/]")
        await asyncio.Event().wait()
    return 0
