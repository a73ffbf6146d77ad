"""The port that both service managers implement, and the choice between them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from agent.errors import ServiceError
from agent.service.launchd import Launchd
from agent.service.systemd import Systemd
from agent.service.unit import ServiceSpec, Status

__all__ = ["Manager", "ServiceSpec", "Shell", "Status", "for_this_machine"]

COMMAND_TIMEOUT_S = 180
"""A restart waits for the drain and for the new agent to say that it is ready."""


class Manager(Protocol):
    """A service manager of this machine, for this person."""

    @property
    def name(self) -> str:
        """`launchd` or `systemd`."""
        ...

    def file(self, spec: ServiceSpec) -> Path:
        """Where the service's file goes."""
        ...

    def render(self, spec: ServiceSpec) -> str:
        """The service's file."""
        ...

    def commands(self, spec: ServiceSpec) -> Sequence[Sequence[str]]:
        """What `install` runs after writing the file."""
        ...

    def install(self, spec: ServiceSpec) -> None:
        """Write the file and start the service now and at every login. Installing again replaces it."""
        ...

    def start_at_boot_hint(self) -> str | None:
        """The command that makes it start before anybody logs in; None where there is none or it is done."""
        ...

    def uninstall(self, spec: ServiceSpec) -> bool:
        """Stop and remove the service; the state directory stays. False when there was none."""
        ...

    def status(self, spec: ServiceSpec) -> Status:
        """What the service manager says."""
        ...


class Shell:
    """Runs the service manager's own command."""

    def __call__(self, argv: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of `argv`. Raises `ServiceError` when it can't be run."""
        try:
            done = subprocess.run(
                list(argv),
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            raise ServiceError(f"{argv[0]} can't be run: {err}") from err
        return done.returncode, (done.stdout + done.stderr).strip()


def for_this_machine(home: Path, templates: Path) -> Manager:
    """Launchd on macOS, systemd where `systemctl` is. Raises `ServiceError` elsewhere."""
    if sys.platform == "darwin":
        return Launchd(home, templates, Shell())
    if shutil.which("systemctl"):
        return Systemd(home, templates, Shell())
    raise ServiceError(
        "neither launchd nor systemd is on this machine",
        hint="Start `cronmirror run` from whatever starts services here; it stops on SIGTERM and exits 0.",
    )
