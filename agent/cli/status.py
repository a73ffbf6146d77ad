"""`cronmirror status`."""

from __future__ import annotations

import dataclasses

import typer
from rich.markup import escape

from agent.app.place import open_place
from agent.cli.install import DryRun
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import print_json, stderr, stdout
from agent.cli.services import service_manager, spec_of

STYLE = {"running": "green", "failed": "red"}


def status(
    config: ConfigOption = None, state_dir: StateOption = None, as_json: JsonOption = False, dry_run: DryRun = False
) -> None:
    """Show whether the service is installed and running. Exits 0 when it runs, else 1."""
    place = open_place(config, state_dir)
    manager, spec = service_manager(), spec_of(place)
    if dry_run:
        stderr.print(f"[dim]· would ask {manager.name} about {escape(str(manager.file(spec)))}[/]")
        return
    found = manager.status(spec)
    if as_json:
        print_json({**dataclasses.asdict(found), "file": str(found.file), "state_dir": str(place.state.path)})
    else:
        style = STYLE.get(found.state, "yellow")
        stdout.print(
            f"{found.label}: [{style}]{found.state}[/]" + (f" ({escape(found.detail)})" if found.detail else "")
        )
        stdout.print(f"  file:  {found.file}\n  state: {place.state.path}")
    if found.state != "running":
        raise typer.Exit(1)
