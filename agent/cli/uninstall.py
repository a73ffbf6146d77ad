"""`cronmirror uninstall`."""

from __future__ import annotations

from rich.markup import escape

from agent.app.place import open_place
from agent.cli.install import DryRun
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import stderr, stdout
from agent.cli.services import service_manager, spec_of
from agent.service import ServiceSpec


def uninstall(config: ConfigOption = None, state_dir: StateOption = None, dry_run: DryRun = False) -> None:
    """Stop and remove the service. The state directory stays: outbox, history and session are kept."""
    take_down(spec_of(open_place(config, state_dir)), dry_run=dry_run)


def take_down(spec: ServiceSpec, *, dry_run: bool) -> None:
    """Remove a service, or show what would be done."""
    manager = service_manager()
    if dry_run:
        stderr.print(f"[dim]· would stop the service and remove {escape(str(manager.file(spec)))}[/]")
    elif manager.uninstall(spec):
        stdout.print(f"removed: {manager.file(spec)}; the state is kept in {spec.state_dir}")
    else:
        stdout.print(f"there was no service: {manager.file(spec)} does not exist")
