"""`cronmirror uninstall`."""

from __future__ import annotations

from rich.markup import escape

from agent.app.place import open_place
from agent.cli.install import DryRun
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import stderr, stdout
from agent.cli.services import service_manager, spec_of


def uninstall(config: ConfigOption = None, state_dir: StateOption = None, dry_run: DryRun = False) -> None:
    """Stop and remove the service. The state directory stays: outbox, history and session are kept."""
    place = open_place(config, state_dir)
    manager, spec = service_manager(), spec_of(place)
    if dry_run:
        stderr.print(f"[dim]· would stop the service and remove {escape(str(manager.file(spec)))}[/]")
    elif manager.uninstall(spec):
        stdout.print(f"removed: {manager.file(spec)}; the state is kept in {place.state.path}")
    else:
        stdout.print(f"there was no service: {manager.file(spec)} does not exist")
