"""`cronmirror local start`."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import Annotated

import typer

from agent.adapters.files import StateDir
from agent.app.logs import configure
from agent.cli.extras import embedded_stack
from agent.cli.local.detach import detached
from agent.cli.local.folder import DirOption, home_in
from agent.cli.local.steps import next_steps
from agent.cli.output import stdout
from agent.cli.stopping import until_stopped
from agent.localstack.home import Home


def start(
    folder: DirOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background; `stop` ends it.")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help="The gateway's port, remembered. Default: the last one; at first, the first free one from 54321 on.",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", help="What the dashboard opens with, remembered. At first: home.", show_default=False
        ),
    ] = None,
) -> None:
    """Start the stack: in the foreground until Ctrl-C, or in the background with `--detach`.

    What is in it stays, whatever happens to the process. Migrations of a newer version are applied before anything is
    served.
    """
    home = home_in(folder)
    StateDir(home.folder)  # ours alone, or refused: who may write here decides what runs
    if detach:
        given = {"--port": port, "--project": project}
        url = detached(home, [word for name, value in given.items() if value for word in (name, str(value))])
        stdout.print(f"the local stack runs at {url} · state in {home.folder}", markup=False)
        for line in next_steps(home, nobody=asyncio.run(_nobody(home))):
            stdout.print(line, markup=False)
        return
    with embedded_stack():
        from agent.cli.local.serving import serve  # noqa: PLC0415
    settings = home.settings
    wanted = replace(settings, port=port or settings.port, project=project or settings.project)
    if not sys.stderr.isatty():
        configure(level="info", style="auto")
    raise typer.Exit(asyncio.run(until_stopped(serve(home, wanted))))


async def _nobody(home: Home) -> bool:
    with embedded_stack():
        from agent.localstack.members import Members  # noqa: PLC0415
    dsn = home.dsn()
    return dsn is not None and not await Members(dsn).all()
