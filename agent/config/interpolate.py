"""`${NAME}`, `${NAME:-default}`, `${keyring:NAME}`, `${file:PATH}` and `$$` in values of the YAML.

Works on scalars after the YAML was read, so a value can never add structure, and a value that was put in is not read
again. Any other `$` stays as it is. What must not be interpolated (scripts, payload schemas, texts that are mirrored)
is decided in loader.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.errors import ConfigError, Problem

_TOKEN = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_PLAIN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_WRONG_INSIDE = re.compile("[\x00\ud800-\udfff]")


class Lookup(Protocol):
    """Where values come from. Every method raises `ConfigError` with a problem that says what to do."""

    def add_env_file(self, path: str) -> None:
        """Read an `env_file`; the process environment wins over it, an earlier file over a later one."""
        ...

    def variable(self, name: str) -> str | None:
        """A variable of the environment or of an `env_file`, or None."""
        ...

    def keyring(self, name: str) -> str:
        """A password from the system's keyring."""
        ...

    def file(self, path: str) -> str:
        """The text of a file without its last newline."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A value that was put in."""

    source: Literal["env", "keyring", "file"]
    name: str
    value: str


def interpolate(text: str, lookup: Lookup) -> tuple[str, list[Piece]]:
    """`text` with everything filled in, and what was filled in. Raises `ConfigError` with all faults of this text."""
    pieces: list[Piece] = []
    problems: list[Problem] = []

    def fill(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        try:
            piece = _piece(match, lookup)
        except ConfigError as err:
            problems.extend(err.problems)
            return ""
        if isinstance(piece, str):
            return piece
        pieces.append(piece)
        return piece.value

    filled = _TOKEN.sub(fill, text)
    if problems:
        raise ConfigError(problems)
    return filled, pieces


def _piece(match: re.Match[str], lookup: Lookup) -> Piece | str:
    inside, closed = match[1], match[2]
    if not closed:
        raise _fault("`${` is never closed; write `}` behind the name, or `$$` for a dollar sign")
    kind, _, name = inside.partition(":")
    if kind == "keyring" and name:
        return _checked(Piece(source="keyring", name=name, value=lookup.keyring(name)))
    if kind == "file" and name:
        return _checked(Piece(source="file", name=name, value=lookup.file(name)))
    plain = _PLAIN.fullmatch(inside)
    if plain is None:
        forms = "${NAME}, ${NAME:-default}, ${keyring:NAME} or ${file:PATH}"
        raise _fault(f"`{match[0]}` is none of {forms}; a literal dollar sign is `$$`")
    return _variable(plain[1], plain[2], lookup)


def _variable(name: str, default: str | None, lookup: Lookup) -> Piece | str:
    value = lookup.variable(name)
    if default is not None and not value:
        return default
    if value is None:
        raise _fault(
            f"${{{name}}} is not set: put `{name}=…` into a file named by `env_file:`, "
            f"or set it in the agent's environment, or write ${{{name}:-default}}"
        )
    return _checked(Piece(source="env", name=name, value=value))


def _checked(piece: Piece) -> Piece:
    if _WRONG_INSIDE.search(piece.value):
        raise _fault(f"the value of {piece.name} contains a NUL or bytes that are not UTF-8; remove them")
    return piece


def _fault(message: str) -> ConfigError:
    return ConfigError([Problem(message=message)])
