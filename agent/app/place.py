"""A configuration and the state directory that goes with it: what most verbs begin with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.adapters.files import StateDir, bundled, state_root
from agent.app.reading import find_config, read_config
from agent.config.config import Config


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an agent of this machine is at home."""

    path: Path
    """The configuration file, absolute."""
    config: Config
    state: StateDir


def open_place(config: Path | None, state_dir: Path | None) -> Place:
    """Read the configuration (refused when others can write to it) and open its state directory.

    Raises `ConfigError` and `StateError`.
    """
    path = find_config(config, os.environ)
    found = read_config(path, os.environ, private=True).config
    return Place(path=path, config=found, state=open_state(state_dir, found.project))


def open_state(state_dir: Path | None, project: str) -> StateDir:
    """The state directory that was named, else the project's own."""
    return StateDir(state_dir) if state_dir is not None else StateDir.of_project(project, os.environ)


def state_folder(project: str) -> Path:
    """Where an agent of `project` keeps its state when nothing else is said."""
    return state_root(os.environ) / project


def service_templates() -> Path:
    """The folder of launchd's and systemd's templates."""
    return bundled("launchd")
