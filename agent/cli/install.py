"""`cronmirror install`."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import stderr, stdout
from agent.cli.services import place_for_service, service_manager, spec_of
from agent.service import ServiceSpec

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the file and the commands; change nothing.")]


def install(config: ConfigOption = None, state_dir: StateOption = None, dry_run: DryRun = False) -> None:
    """Make the agent a service (LaunchAgent or systemd user unit): started now, at login, and after a crash."""
    set_up(spec_of(place_for_service(config, state_dir, os.environ)), dry_run=dry_run)
    if not dry_run:
        stdout.print("see it with: cronmirror status")


def set_up(spec: ServiceSpec, *, dry_run: bool) -> None:
    """Install a service, or show what would be done."""
    manager = service_manager()
    if dry_run:
        stderr.print(f"[dim]· would write {escape(str(manager.file(spec)))}:[/]")
        sys.stdout.write(manager.render(spec))
        for command in manager.commands(spec):
            stderr.print(f"[dim]· would run: {escape(shlex.join(command))}[/]")
        return
    manager.install(spec)
    stdout.print(f"installed: {manager.file(spec)}")
    if hint := manager.start_at_boot_hint():
        stdout.print(f"to start it at boot, before anybody logs in: {hint}")
