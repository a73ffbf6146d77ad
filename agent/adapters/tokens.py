"""This box's memory of connections: tokens in files of 0600 or in the system's keyring, standings in files beside them.

Tokens are replaced whole and durably; a lock per connection, which the kernel frees when its process ends, keeps all
processes of the box apart.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, fields
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from agent.errors import StateError
from agent.model import FailureKind, Json, Standing, Tokens

KEYRING_SERVICE = "cronmirror-connections"
LOCK_AGAIN_S = 0.02
"""flock(2) tells nobody that a lock is free again, and a thread that waits for one could not be called off."""

Write = Callable[[Path, bytes], None]
"""Replaces a file durably, readable by us alone (`agent.adapters.files.atomic_write`)."""
T = TypeVar("T", Tokens, Standing)


class Vault(Protocol):
    """Where token texts lie. Errors: `StateError`."""

    def get(self, name: str) -> str | None:
        """The text, or None."""
        ...

    def put(self, name: str, text: str) -> None:
        """Replace it; durable when this returns."""
        ...

    def remove(self, name: str) -> None:
        """Silent when there is none."""
        ...


class FileVault:
    """One file of 0600 per connection."""

    def __init__(self, folder: Path, write: Write) -> None:
        self._folder = folder
        self._write = write

    def get(self, name: str) -> str | None:
        """The text, or None."""
        return _text(self._place(name))

    def put(self, name: str, text: str) -> None:
        """Replace it; what a killed process left half-written goes."""
        place = self._place(name)
        for left in self._folder.glob(f".{place.name}.*"):
            with suppress(OSError):
                left.unlink()
        self._write(place, text.encode())

    def remove(self, name: str) -> None:
        """Silent when there is none."""
        try:
            self._place(name).unlink(missing_ok=True)
        except OSError as err:
            raise _fault(f"{self._place(name)} cannot be removed", err) from err

    def _place(self, name: str) -> Path:
        return self._folder / f"{_file_name(name)}.tokens.json"


class KeyringVault:
    """The system's keyring: one password per connection, named by project and connection."""

    def __init__(self, project: str) -> None:
        self._project = project

    def get(self, name: str) -> str | None:
        """The text, or None."""
        import keyring  # noqa: PLC0415  # a quarter of a second that most configurations need not pay

        with _keyring_faults(name):
            found: str | None = keyring.get_password(KEYRING_SERVICE, self._user(name))
            return found

    def put(self, name: str, text: str) -> None:
        """Replace it."""
        import keyring  # noqa: PLC0415  # same

        with _keyring_faults(name):
            keyring.set_password(KEYRING_SERVICE, self._user(name), text)

    def remove(self, name: str) -> None:
        """Silent when there is none."""
        import keyring  # noqa: PLC0415  # same

        with _keyring_faults(name):
            if keyring.get_password(KEYRING_SERVICE, self._user(name)) is not None:
                keyring.delete_password(KEYRING_SERVICE, self._user(name))

    def _user(self, name: str) -> str:
        return f"{self._project}/{name}"


class LocalConnections:
    """`agent.ports.ConnectionStore` in a folder of the state directory."""

    def __init__(self, folder: Path, write: Write, vault: Vault | None = None) -> None:
        """`vault` None: files in the same folder. Raises `StateError`."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as err:
            raise _fault(f"{folder} cannot be made", err) from err
        self._folder = folder
        self._write = write
        self._vault = vault or FileVault(folder, write)

    def revision(self) -> object:
        """Another one after every change that any process made here. Cheap; never raises."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return None

    @asynccontextmanager
    async def lock(self, connection_id: str) -> AsyncIterator[None]:
        """Alone with this connection. Each holder opens the file anew, so that tasks of one process wait as well."""
        place = self._folder / f"{_file_name(connection_id)}.lock"
        try:
            held = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as err:
            raise _fault(f"{place} cannot be opened", err) from err
        try:
            while not _taken(held, place):  # noqa: ASYNC110 - nobody could set an event from another process
                await asyncio.sleep(LOCK_AGAIN_S)
            yield
        finally:
            os.close(held)

    async def tokens(self, connection_id: str) -> Tokens | None:
        """What is stored now."""
        text = await asyncio.to_thread(self._vault.get, connection_id)
        hint = f"Sign in again: `cronmirror connections login {connection_id}`."
        return None if text is None else _read(Tokens, text, f"the tokens of {connection_id}", hint)

    async def keep_tokens(self, connection_id: str, tokens: Tokens) -> None:
        """Replace them, durably."""
        await asyncio.to_thread(self._vault.put, connection_id, _written(tokens))

    async def forget_tokens(self, connection_id: str) -> None:
        """Remove them."""
        await asyncio.to_thread(self._vault.remove, connection_id)

    async def standing(self, connection_id: str) -> Standing | None:
        """As kept last; a damaged one is none: it is found out anew."""
        text = _text(self._standing(connection_id))
        if text is None:
            return None
        with suppress(StateError):
            return _read(Standing, text, "the standing", None)
        return None

    async def keep_standing(self, standing: Standing) -> None:
        """Replace it."""
        place = self._standing(standing.connection_id)
        await asyncio.to_thread(self._write, place, _written(standing).encode())

    def _standing(self, connection_id: str) -> Path:
        return self._folder / f"{_file_name(connection_id)}.standing.json"


def _file_name(connection_id: str) -> str:
    """Never another folder, never hidden."""
    return quote(connection_id, safe="").replace(".", "%2E")


def _taken(held: int, place: Path) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as err:
        raise _fault(f"{place} cannot be locked", err) from err
    return True


def _text(place: Path) -> str | None:
    try:
        return place.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as err:
        raise StateError(f"{place} cannot be read: {err}") from err


def _written(value: Tokens | Standing) -> str:
    return json.dumps({name: _plain(each) for name, each in asdict(value).items() if each is not None})


def _plain(value: Json) -> Json:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value


def _read(kind: type[T], text: str, what: str, hint: str | None) -> T:
    """The value again; what a later version added to it is left out."""
    try:
        said = json.loads(text)
        types = {each.name: str(each.type) for each in fields(kind)}
        return kind(**{name: _typed(types[name], value) for name, value in said.items() if name in types})
    except (ValueError, TypeError, AttributeError) as err:
        raise StateError(f"{what} cannot be read: what is stored is damaged", hint=hint) from err


def _typed(kind: str, value: Json) -> Json:
    if "datetime" in kind:
        return datetime.fromisoformat(value)
    if "FailureKind" in kind:
        return FailureKind(value)
    return tuple(value) if "tuple" in kind else value


@contextmanager
def _keyring_faults(name: str) -> Iterator[None]:
    from keyring.errors import KeyringError  # noqa: PLC0415  # as above

    try:
        yield
    except KeyringError as err:
        hint = "Unlock it, or keep tokens in files: `tokens: {store: file}`."
        raise StateError(f"the keyring refuses the tokens of {name}: {err}", hint=hint) from err


def _fault(what: str, err: OSError) -> StateError:
    return StateError(f"{what}: {err.strerror}")
