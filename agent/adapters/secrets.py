"""Where `${…}` values come from: environment, env files, the system's keyring, files (`agent.config.Lookup`).

Values are read when asked for and kept nowhere else. An env file that others can read or write is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from agent.errors import ConfigError, Problem

KEYRING_SERVICE = "cronmirror"
MAX_BYTES = 64 * 1024

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_SINGLE = re.compile(r"'([^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class Secrets:
    """`agent.config.interpolate.Lookup` for one reading of a configuration file in the folder `base`."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        self._base = base
        self._environ = environ
        self._from_files: dict[str, str] = {}
        self._files: list[Path] = []

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that was asked for, readable or not: a change in one of them changes the configuration."""
        return tuple(self._files)

    def add_env_file(self, path: str) -> None:
        """Read `NAME=value` lines. Raises `ConfigError`: unreadable, others may read or write it, or a broken line."""
        full = self._full(path)
        text = _read(full, path, private=True)
        values, problems = parse_env_file(text, file=path)
        if problems:
            raise ConfigError(problems)
        self._from_files = {**values, **self._from_files}

    def variable(self, name: str) -> str | None:
        """The environment wins over env files, so that one start can be given another value."""
        return self._environ.get(name, self._from_files.get(name))

    def keyring(self, name: str) -> str:
        """The password stored by `keyring set cronmirror NAME`."""
        import keyring  # noqa: PLC0415  # a quarter of a second that most configurations need not pay
        from keyring.errors import KeyringError, NoKeyringError  # noqa: PLC0415  # same

        try:
            value: str | None = keyring.get_password(KEYRING_SERVICE, name)
        except NoKeyringError as err:
            raise _fault(f"this machine has no keyring to look {name} up in; put it into an `env_file:`") from err
        except KeyringError as err:
            raise _fault(f"the keyring did not give {name}: {err}; unlock it, or use an `env_file:`") from err
        if value is None:
            raise _fault(f"{name} is not in the keyring; store it with `keyring set {KEYRING_SERVICE} {name}`")
        return value

    def file(self, path: str) -> str:
        """The text of a file without its last newline."""
        return _read(self._full(path), path, private=False).removesuffix("\n").removesuffix("\r")

    def _full(self, path: str) -> Path:
        full = self._base / os.path.expanduser(path)  # noqa: PTH111  # Path.expanduser raises for an unknown user
        self._files.append(full)
        return full


def parse_env_file(text: str, *, file: str) -> tuple[dict[str, str], list[Problem]]:
    """Read dotenv syntax without expansion: quotes, `export`, comments. A later line wins over an earlier one."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = _value(match[2]) if match else None
        if match is None or value is None:
            wrong = "a quote is never closed on this line" if match else "is not `NAME=value`"
            problems.append(Problem(file=file, line=number, message=wrong))
        else:
            values[match[1]] = value
    return values, problems


def _value(text: str) -> str | None:
    """None: a quote that is not closed, or something behind it."""
    if text.startswith("'"):
        match = _SINGLE.fullmatch(text)
        return match[1] if match else None
    if text.startswith('"'):
        match = _DOUBLE.fullmatch(text)
        return _ESCAPE.sub(lambda each: _ESCAPED.get(each[1], each[1]), match[1]) if match else None
    return "" if text.startswith("#") else re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def _read(path: Path, shown: str, *, private: bool) -> str:
    """At most 64 KiB of text from a regular file; checked and read through one descriptor."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise _fault(f"{shown} is not a file")
            if private:
                _check_private(found, path, shown)
            data: bytes = file.read(MAX_BYTES + 1)
    except OSError as err:
        raise _fault(f"{shown} cannot be read: {err.strerror} ({path})") from err
    if len(data) > MAX_BYTES:
        raise _fault(f"{shown} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise _fault(f"{shown} is not UTF-8 text") from err


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO in place of the file must not stop the agent."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_private(found: os.stat_result, path: Path, shown: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise _fault(f"{shown} belongs to another user, who could change it; run `chown {os.geteuid()} {path}`")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise _fault(f"{shown} can be read or written by others (mode {mode:04o}); run `chmod 600 {path}`")


def _fault(message: str) -> ConfigError:
    return ConfigError([Problem(message=message)])
