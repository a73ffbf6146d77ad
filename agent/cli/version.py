"""`cronmirror version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

import typer

from agent.cli.output import print_json, stdout

PACKAGES = ("supabase", "realtime", "httpx", "croniter", "pydantic")


def version(as_json: bool = typer.Option(False, "--json", help="One JSON object.")) -> None:
    """Show the versions of Cronmirror, Python and the libraries it stands on."""
    facts = {
        "cronmirror": installed("cronmirror"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: installed(name) for name in PACKAGES},
    }
    if as_json:
        print_json(facts)
        return
    for name, number in facts.items():
        stdout.print(f"{name:11} {number}")
