"""Find and read the configuration, with everything it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.adapters import files
from agent.adapters.files import ensure_private_enough
from agent.adapters.machine import local_timezone
from agent.adapters.process import MEMORY_CAN_BE_LIMITED
from agent.adapters.secrets import Secrets
from agent.config.build import Surroundings
from agent.config.config import Config
from agent.config.loader import load
from agent.errors import ConfigError, Problem

NAME = "config.yaml"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading of a configuration file."""

    config: Config
    text: str
    files: tuple[Path, ...]
    """The file itself and every file it refers to: a change in one of them changes the configuration."""


def find_config(given: Path | None, environ: Mapping[str, str]) -> Path:
    """The file that was named, else `./config.yaml`, else the one below `~/.config`. Raises `ConfigError`."""
    if given is not None:
        return given.expanduser().absolute()
    folder = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cronmirror"
    places = [Path.cwd() / NAME, folder / NAME]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise ConfigError(
        [Problem(message=f"no configuration: looked for {looked}; name one with --config, or try `cronmirror demo`")]
    )


def read_config(path: Path, environ: Mapping[str, str], *, private: bool, lookup: Secrets | None = None) -> Reading:
    """Read `path`. `private`: refuse a file that others can write to, for its commands will be run.

    `lookup` knows afterwards which files were asked for, even when reading failed. Raises `ConfigError` with every
    problem.
    """
    if private:
        ensure_private_enough(path)
    return parse_config(files.read_config(path), path, environ, lookup=lookup)


def parse_config(text: str, path: Path, environ: Mapping[str, str], *, lookup: Secrets | None = None) -> Reading:
    """The configuration that `text` is, when it stands at `path`. Raises `ConfigError`."""
    lookup = lookup or Secrets(path.parent, environ)
    around = Surroundings(
        file=path.name,
        now=datetime.now(UTC),
        home=str(Path.home()),
        timezone=local_timezone(environ),
        memory_limits=MEMORY_CAN_BE_LIMITED,
    )
    config = load(text, lookup=lookup, around=around)
    return Reading(config=config, text=text, files=(path, *lookup.files))
