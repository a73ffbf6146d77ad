"""`cronmirror local uninstall`."""

from __future__ import annotations

from agent.cli.install import DryRun
from agent.cli.local.folder import DirOption, home_in
from agent.cli.local.service import spec_of
from agent.cli.uninstall import take_down


def uninstall(folder: DirOption = None, dry_run: DryRun = False) -> None:
    """Stop and remove the stack's service. Everything in the stack is kept."""
    take_down(spec_of(home_in(folder)), dry_run=dry_run)
