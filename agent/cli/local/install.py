"""`cronmirror local install`."""

from __future__ import annotations

from agent.adapters.files import StateDir
from agent.cli.install import DryRun, set_up
from agent.cli.local.folder import DirOption, command, home_in
from agent.cli.local.service import spec_of
from agent.cli.output import stdout
from agent.localstack.hold import refusal


def install(folder: DirOption = None, dry_run: DryRun = False) -> None:
    """Make the stack a service (LaunchAgent or systemd user unit): started now, at login, and after a crash.

    Say what it needs once, before: `cronmirror local start` remembers port, project and address.
    """
    home = home_in(folder)
    spec = spec_of(home)
    if not dry_run:
        if holder := home.holder:
            raise refusal(home.folder, holder)
        StateDir(home.folder)  # ours alone, or refused
    set_up(spec, dry_run=dry_run)
    if not dry_run:
        stdout.print(f"see it with: {command(home, 'status')}", markup=False)
