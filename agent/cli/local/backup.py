"""`cronmirror local backup`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agent.cli.extras import embedded_stack
from agent.cli.local.folder import DirOption, home_in
from agent.cli.output import stdout


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="Default: cronmirror-DATE.zip in this folder.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    folder: DirOption = None,
) -> None:
    """Write everything into one file, while the stack runs or not: database, users, keys, settings.

    The file is a secret: its keys open the stack. Only you can read it. `pg_restore` reads the dump in it, too.
    """
    with embedded_stack():
        from agent.localstack.backup import write_backup  # noqa: PLC0415
    home = home_in(folder)
    target = (file or Path(f"cronmirror-{datetime.now().astimezone():%Y-%m-%d-%H%M%S}.zip")).expanduser().absolute()

    async def work() -> int:
        async with home.database("a backup is made") as dsn:
            return await write_backup(home, dsn, target, replace=force)

    size = asyncio.run(work())
    stdout.print(f"{escape(str(target))}: {size / 1_000_000:.1f} MB; keep it as safe as a password", soft_wrap=True)
