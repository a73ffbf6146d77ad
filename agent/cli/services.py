"""What the service manager is told about an agent, and whether the agent could start there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.app.place import Place, open_state, service_templates
from agent.app.reading import find_config, read_config
from agent.errors import ConfigError, ServiceError
from agent.service import Manager, ServiceSpec, for_this_machine

SYSTEM_PATHS = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")


def service_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What launchd and systemd will give the agent: no shell profile, so only this."""
    return {"HOME": environ.get("HOME", str(Path.home())), "PATH": service_path(environ)}


def service_path(environ: Mapping[str, str]) -> str:
    """The PATH of the shell that installs (what works there works here), system folders last; absolute ones only."""
    parts = [part for part in environ.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    return os.pathsep.join(dict.fromkeys([*parts, *SYSTEM_PATHS]))


def place_for_service(config: Path | None, state_dir: Path | None, environ: Mapping[str, str]) -> Place:
    """Read the configuration as the service will, without this shell's variables. `ConfigError`, `ServiceError`."""
    path = find_config(config, environ)
    try:
        found = read_config(path, service_environment(environ), private=True).config
    except ConfigError as err:
        if _works_in_this_shell(path, environ):
            raise ServiceError(
                f"the configuration works in this shell, but not as a service, which has none of its variables:\n{err}",
                hint="Put them into a file (chmod 600) and name it in the configuration: `env_file: secrets.env`.",
            ) from err
        raise
    if problems := found.missing_for_run():
        raise ConfigError(problems)
    return Place(path=path, config=found, state=open_state(state_dir, found.project))


def _works_in_this_shell(path: Path, environ: Mapping[str, str]) -> bool:
    try:
        read_config(path, environ, private=True)
    except ConfigError:
        return False
    return True


def spec_of(place: Place) -> ServiceSpec:
    """What the service manager needs to know."""
    return ServiceSpec(
        project=place.config.project,
        python=Path(sys.executable),
        config=place.path,
        state_dir=place.state.path,
        home=Path(service_environment(os.environ)["HOME"]),
        path=service_path(os.environ),
        drain_timeout_s=place.config.drain_timeout_s,
    )


def service_manager() -> Manager:
    """The one of this machine. Raises `ServiceError` where there is none."""
    return for_this_machine(Path.home(), service_templates())
