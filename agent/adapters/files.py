"""Files the agent itself owns or trusts: bundled data, the configuration file, the state directory.

Everything written here is written whole (temporary file, fsync, rename), readable by the agent's user alone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import platformdirs

from agent.errors import ConfigError, PermanentError, Problem, StateError
from agent.model import Pause

T = TypeVar("T")

MAX_CONFIG_BYTES = 1024 * 1024
LOCK_TRIES, LOCK_AGAIN_S = 10, 0.05
"""Somebody may be looking at a lock just now (`locked_by`), or writing into its file."""

_PACKAGE = Path(__file__).resolve().parents[1]
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def bundled(name: str) -> Path:
    """Data that comes with the product (`migrations`, `launchd`, `config.example.yaml`).

    In a wheel it is package data, in an editable install it lies at the top of the repository.
    """
    for place in (_PACKAGE / "_data", _PACKAGE.parent):
        if (place / name).exists():
            return place / name
    raise PermanentError(f"{name} is missing from this installation", hint="Install cronmirror again.")


def atomic_write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`, durably: afterwards there is the old content or the new one. Raises `StateError`."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        try:
            _write(temporary, data, mode)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as err:
        raise _state_error(f"{path} cannot be written", err) from err


def read_config(path: Path) -> str:
    """The text of a configuration file. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError as err:
        message = "there is no such file; `config.example.yaml` shows what to write"
        raise ConfigError([Problem(file=str(path), message=message)]) from err
    except OSError as err:
        raise ConfigError([Problem(file=str(path), message=f"cannot be read: {err.strerror}")]) from err
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError([Problem(file=str(path), message="is larger than 1 MiB: this is no configuration")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = data[: err.start].count(b"\n") + 1
        raise ConfigError([Problem(file=str(path), line=line, message="is not UTF-8 text; save it as UTF-8")]) from err


def ensure_private_enough(path: Path) -> None:
    """Refuse a configuration that somebody else could change: who writes it decides what runs. Raises `ConfigError`.

    Neither the file nor its folder (nor that of a symbolic link to it) may belong to another user or be writable by
    group or others, no folder above may be writable by everybody; a sticky folder like /tmp may.
    """
    problems = []
    for place in dict.fromkeys((path.absolute(), path.resolve())):
        complaint = _writable_by_others(place)
        if complaint:
            problems.append(Problem(file=str(path), message=complaint))
    if problems:
        raise ConfigError(problems)


def _writable_by_others(path: Path) -> str | None:
    try:
        for place in (path, *path.parents):
            found = place.stat()
            if found.st_uid not in (os.geteuid(), 0) and place in (path, path.parent):
                return f"{place} belongs to another user, who could change what runs; `chown {os.geteuid()} {place}`"
            forbidden = _OTHERS_WRITE if place in (path, path.parent) else stat.S_IWOTH
            sticky = place != path and found.st_mode & stat.S_ISVTX
            if found.st_mode & forbidden and not sticky:
                return f"{place} can be written by others, who could change what runs; run `chmod go-w {place}`"
    except OSError as err:
        return f"cannot be checked: {err.strerror}"
    return None


class PauseFile:
    """`agent.ports.BoxPause`: `{"mode", "until"}` in a file of the state directory, with and without an agent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._pause: Pause | None = None

    def read(self) -> Pause | None:
        """What the file says, read only when it changed; a damaged one is a pause: somebody wanted nothing to run."""
        try:
            about = self._path.stat()
        except OSError:
            self._seen = None
            return None
        seen = (about.st_mtime_ns, about.st_ino, about.st_size)
        if seen != self._seen:
            self._pause = self._parse()
            self._seen = seen
        return self._pause

    def write(self, pause: Pause) -> None:
        """Pause, or pause otherwise. Raises `StateError`."""
        until = pause.until and pause.until.isoformat()
        atomic_write(self._path, json.dumps({"mode": pause.mode, "until": until}).encode())

    def clear(self) -> None:
        """Resume. Raises `StateError`."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as err:
            raise _state_error(f"{self._path} cannot be removed", err) from err

    def _parse(self) -> Pause:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            until = datetime.fromisoformat(said["until"]) if said["until"] else None
            return Pause(mode="schedule" if said["mode"] == "schedule" else "all", until=until)
        except (OSError, ValueError, KeyError, TypeError):
            return Pause(mode="all")


class StateDir:
    """One agent's folder: everything that survives a restart. Only we can look into it."""

    def __init__(self, path: Path) -> None:
        """Creates the folder. Raises `StateError` where it cannot be ours alone."""
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path = path.resolve()
            found = self.path.stat()
            if found.st_uid == os.geteuid() and found.st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as err:
            raise _state_error(f"the state directory {path} cannot be used", err) from err
        if found.st_uid != os.geteuid():
            raise StateError(
                f"the state directory {path} belongs to another user",
                hint="Run the agent as that user, or set CRONMIRROR_STATE_DIR.",
            )

    @classmethod
    def of_project(cls, project: str, environ: Mapping[str, str]) -> StateDir:
        """The project's folder below `CRONMIRROR_STATE_DIR` or the platform's place for state."""
        return cls(state_root(environ) / _folder_name(project))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process. Raises `StateError` naming the process that holds it already.

        The kernel lets go when the process ends, however it ends; children do not inherit the lock.
        """
        place = self.path / "lock"
        try:
            held = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as err:
            raise _state_error(f"{place} cannot be opened", err) from err
        try:
            try:
                take_lock(held)
            except BlockingIOError as err:
                raise StateError(
                    f"the state directory {self.path} is in use by {_holder(held)}",
                    hint="Stop that agent first; for a second agent on this machine set CRONMIRROR_STATE_DIR.",
                ) from err
            except OSError as err:
                raise _state_error(f"{place} cannot be locked", err) from err
            os.ftruncate(held, 0)
            os.write(held, str(os.getpid()).encode())
            yield
        finally:
            os.close(held)

    def instance(self, machine: str, *, anew: bool = False) -> UUID:
        """Who this state is: kept, but another one on another `machine` or in another folder (a copy is not us).

        `anew`: another one anyway, for what this one remembered is gone.
        """
        place = self.path / "instance.json"
        here = {"machine": machine, "path": str(self.path)}
        known = _json_object(place)
        uuid = _uuid(known.get("uuid"))
        if anew or uuid is None or {key: known.get(key) for key in here} != here:
            uuid = uuid4()
            atomic_write(place, json.dumps({"uuid": str(uuid), **here}, indent=1).encode())
        return uuid

    def agent_id(self, host_name: str) -> str:
        """The id made once from the host name and kept: host names change by themselves."""
        place = self.path / "agent_id"
        known = _text(place)
        if known:
            return known
        agent_id = agent_id_from(host_name)
        atomic_write(place, agent_id.encode())
        return agent_id

    @property
    def last_good_config(self) -> str | None:
        """The text of the last configuration that was accepted, or None."""
        return _text(self.path / "last-good.yaml")

    def keep_config(self, text: str) -> None:
        """Keep the text of an accepted configuration. Raises `StateError`."""
        atomic_write(self.path / "last-good.yaml", text.encode())

    @property
    def session(self) -> Path:
        """Where the Supabase session is kept."""
        return self.path / "session.json"

    @property
    def database(self) -> Path:
        """Where outbox and history are kept."""
        return self.path / "cronmirror.sqlite3"

    @property
    def pause(self) -> PauseFile:
        """The box's own pause."""
        return PauseFile(self.path / "pause.json")

    def holder(self) -> str | None:
        """The process that runs an agent here (`process 123`); None: there is none."""
        return locked_by(self.path / "lock", _holder)

    @property
    def connections(self) -> Path:
        """Where the tokens of connections are kept, and how they stand."""
        return self.path / "connections"

    @property
    def payloads(self) -> Path:
        """Where payloads wait for their run."""
        return self.path / "payloads"


def state_root(environ: Mapping[str, str]) -> Path:
    """The folder above every project's state."""
    own = environ.get("CRONMIRROR_STATE_DIR")
    return (
        Path(own).expanduser().absolute() if own else Path(platformdirs.user_state_dir("cronmirror", appauthor=False))
    )


def agent_id_from(host_name: str) -> str:
    """`Max's Mac mini.local` → `maxs-mac-mini`."""
    short = host_name.removesuffix(".").split(".")[0].lower().replace("'", "").replace("’", "")
    return re.sub(r"[^a-z0-9_]+", "-", short).strip("-_")[:100] or "agent"


def _folder_name(project: str) -> str:
    """Readable, and never the same for two projects."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", project).lstrip(".")[:60]
    return plain if plain == project else f"{plain}-{hashlib.sha256(project.encode()).hexdigest()[:8]}"


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def take_lock(held: int) -> None:
    """Lock this descriptor's file. Raises `BlockingIOError` where another process has it."""
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_AGAIN_S)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def locked_by(path: Path, read: Callable[[int], T]) -> T | None:
    """What `read` finds in the file at `path` (given its descriptor) while it is locked; None: nobody has it."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return read(held)
    finally:
        os.close(held)
    return None


def _holder(held: int) -> str:
    pid = os.pread(held, 20, 0).decode("ascii", "replace")
    return f"process {pid}" if pid.isdigit() else "another process"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip("\ufeff") or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as err:
        raise StateError(f"{path} cannot be read: {err}", hint="Remove it; it is made again.") from err


def _json_object(path: Path) -> dict[str, object]:
    """What a JSON file holds; a damaged one holds nothing."""
    try:
        found = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _state_error(what: str, err: OSError) -> StateError:
    hint = "Make room on the disk." if err.errno == errno.ENOSPC else None
    return StateError(f"{what}: {err.strerror}", hint=hint)
