"""`cronmirror login`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.people import sign_in
from agent.app.place import open_place
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import stdout


def login(
    email: Annotated[str | None, typer.Option("--email", help="Who signs in. Asked for when left out.")] = None,
    person: Annotated[
        bool, typer.Option("--person", help="Sign in yourself, for `cronmirror request`; not the agent.")
    ] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Sign in to Supabase and keep the session in the state directory, so that no password need be in a file.

    The password is asked for, or read from standard input when that is no terminal.
    """
    place = open_place(config, state_dir)
    found, state = place.config, place.state
    configured = found.supabase.email if found.supabase and not person else None
    who = email or configured or typer.prompt("E-mail")
    password = typer.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    asyncio.run(sign_in(found, state, who, password, person=person))
    role = "a person" if person else "the agent"
    stdout.print(
        f"signed in to project {escape(found.project)} as {escape(who)} ({role}); the session is in {state.path}"
    )
