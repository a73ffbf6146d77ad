"""`cronmirror migrate`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.migrations import apply_migrations, migrations_text, removal_text, remove_schema
from agent.cli.output import stderr, stdout


def migrate(
    db_url: Annotated[
        str | None,
        typer.Option(
            "--db-url", envvar="CRONMIRROR_DB_URL", help="postgresql://… of the database.", show_default=False
        ),
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the SQL, for the SQL editor.")] = False,
    down: Annotated[
        bool,
        typer.Option("--down", help="Remove what Cronmirror added; the two tables of your page stay, with their rows."),
    ] = False,
) -> None:
    """Create or update the tables and functions in the Supabase project's database. May be repeated.

    Either `--print` and paste it into the SQL editor, or `--db-url` with the connection string of the project
    (Project Settings → Database; needs `pip install 'cronmirror[db]'`).
    """
    if print_only:
        sys.stdout.write(removal_text() if down else migrations_text())
        return
    if not db_url:
        raise typer.BadParameter("give --db-url, or --print to get the SQL for Supabase's SQL editor")
    if down:
        asyncio.run(remove_schema(db_url, say=_say))
        stdout.print("removed: the tables and functions that Cronmirror had added")
        return
    asyncio.run(apply_migrations(db_url, say=_say))
    stdout.print("the database is up to date")


def _say(words: str) -> None:
    stderr.print(f"[dim]· {escape(words)}[/]")
