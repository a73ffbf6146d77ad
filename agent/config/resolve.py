"""The tree as data, with `${…}` filled in, and which of the values are secrets.

Filled in everywhere except where `$` has a meaning of its own or the text leaves the box: `shell`, `payload`, `name`,
`description`, `instructions`, `tags`, `env_file`, and keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from agent.config.interpolate import Lookup, Piece, interpolate
from agent.config.tree import Node, Path
from agent.errors import ConfigError
from agent.model import Json

SHORTEST_SECRET = 4
"""Shorter values would redact half of every output."""

_AS_WRITTEN = {"shell", "payload", "name", "description", "instructions", "tags", "env_file"}
_NOT_SECRET = {"HOME", "USER", "LOGNAME", "PATH", "SHELL", "PWD", "LANG", "TMPDIR", "HOSTNAME", "TZ"}
_CREDENTIALS = ("key", "password")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
_SCHEMES = ("bearer", "basic", "token", "digest")
"""What stands before a credential (RFC 9110 §11.4), also where the credential itself is empty."""
_PASSWORD = re.compile(r"^https?://[^/?#@]*:([^/?#@]+)@")
_URL = ((), ("url",))
_NO_SECRET_AT_ALL = {"true", "false", "null", "none"}


@dataclass(slots=True)
class Resolution:
    """What `resolve` found."""

    data: Json = None
    faults: list[tuple[Path, str]] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)
    """Variables that hold the agent's own credentials."""
    filled: set[Path] = field(default_factory=set)
    """Paths of the values that came from outside."""

    def secret(self, value: str) -> None:
        """Remember a value that must not appear in output; of a text of several lines, each line too."""
        for text in (value, *(value.splitlines() if "\n" in value else ())):
            if len(text.strip()) >= SHORTEST_SECRET and text.lower() not in _NO_SECRET_AT_ALL:
                self.secrets.add(text)


def resolve(tree: Node, lookup: Lookup) -> Resolution:
    """Every value of the tree; a faulty one is None and has its fault."""
    resolution = Resolution()
    resolution.data = _data(tree, (), lookup, resolution)
    return resolution


def _data(node: Node, path: Path, lookup: Lookup, into: Resolution) -> Json:
    if _is_payload(path):
        return node.json()
    if node.entries is not None:
        return {key: _data(entry.node, (*path, key), lookup, into) for key, entry in node.entries.items()}
    if node.items is not None:
        return [_data(item, (*path, index), lookup, into) for index, item in enumerate(node.items)]
    if node.null:
        return None
    if _is_json(path) and "$" not in (node.text or ""):
        return node.json()
    return _scalar(node.text or "", path, lookup, into)


def _scalar(text: str, path: Path, lookup: Lookup, into: Resolution) -> str | None:
    if _as_written(path):
        return text
    try:
        value, pieces = interpolate(text, lookup)
    except ConfigError as err:
        into.faults += [(path, problem.message) for problem in err.problems]
        return None
    if pieces:
        into.filled.add(path)
    for piece in pieces:
        if _is_secret(piece, path):
            into.secret(piece.value)
        if piece.source == "env" and (_is_credential(path) or path[:1] == ("notify",)):
            into.withheld.add(piece.name)
    _known_by_place(value, path, into)
    return value


def _known_by_place(value: str, path: Path, into: Resolution) -> None:
    """Secrets by where they stand, even where nothing was filled in."""
    if _is_credential(path) or _is_address(path) or (_in_env(path) and _SECRET_NAME.search(str(path[-1]))):
        into.secret(value)
    credential = value.strip().rpartition(" ")[2]
    in_header = path[2:4] == ("http", "headers") and _SECRET_HEADER.search(str(path[-1]))
    if in_header and credential.lower() not in _SCHEMES:
        into.secret(value.strip())
        into.secret(credential)
    if path[2:] == ("http", "url") and (password := _PASSWORD.search(value)):
        into.secret(password[1])
        into.secret(unquote(password[1]))


def _as_written(path: Path) -> bool:
    """A scalar `run:` is a fault, and its message shows it: nothing is filled in there."""
    job_key = path[2:3] if path[:1] == ("jobs",) else path[:1]
    in_agent = path[:2] in (("agent", "name"), ("agent", "tags"))
    return bool(_AS_WRITTEN & set(job_key)) or in_agent or (job_key == ("run",) and len(path) == 3)  # noqa: PLR2004  # ("jobs", id, "run")


def _is_payload(path: Path) -> bool:
    return path[:1] == ("jobs",) and path[2:] == ("payload",)


def _is_json(path: Path) -> bool:
    """Where a number is a number."""
    return path[:1] == ("jobs",) and path[2:4] in (("http", "json"), ("python", "args"), ("python", "kwargs"))


def _is_call(path: Path) -> bool:
    """Sent to somebody else, or handed to a function."""
    return _is_json(path) or (path[:1] == ("jobs",) and path[2:3] == ("http",))


def _is_credential(path: Path) -> bool:
    of_client = path[:1] == ("connections",) and path[2:] == ("client_secret",)
    return of_client or (path[:1] == ("supabase",) and path[1:2] in [(name,) for name in _CREDENTIALS])


def _is_address(path: Path) -> bool:
    """Of a channel or a watchman: who knows it can write there."""
    in_notify = path[:1] == ("notify",) and (path[1:] == ("ping",) or (path[1:2] == ("channels",) and path[3:] in _URL))
    return in_notify or (path[:1] == ("jobs",) and path[2:3] == ("ping",))


def _in_env(path: Path) -> bool:
    return "env" in path[1:-1]


def _is_secret(piece: Piece, path: Path) -> bool:
    """A value from a keyring or file always; a variable where it goes to a job or is a credential."""
    if piece.source != "env":
        return True
    to_job = _in_env(path) or _is_call(path) or (path[:1] == ("jobs",) and path[2:3] == ("run",))
    return (to_job and piece.name not in _NOT_SECRET) or _is_credential(path) or _is_address(path)
