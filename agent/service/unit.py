"""What a service manager needs to know of an agent or a local stack, and the template filled in with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import ServiceError

Kind = Literal["agent", "local"]
STOP_MARGIN_S = 30
"""The service manager waits this much longer than `drain_timeout` before it kills."""


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """One installed agent, or one local stack."""

    project: str
    python: Path
    """The interpreter of the environment that has cronmirror."""
    config: Path | None = None
    """An agent's."""
    state_dir: Path
    home: Path
    path: str
    """The PATH that jobs will see: launchd and systemd load no shell profile."""
    drain_timeout_s: float
    kind: Kind = "agent"

    @property
    def slug(self) -> str:
        """The project's id as part of a file name."""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", self.project).strip("-") or "default"

    @property
    def log(self) -> Path:
        """Where launchd writes what it prints (systemd has its journal)."""
        return self.state_dir / ("agent.log" if self.kind == "agent" else "stack.log")


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the service manager says."""

    label: str
    installed: bool
    state: Literal["running", "stopped", "failed", "not installed", "unknown"]
    detail: str
    file: Path


def fill(template: str, words: Mapping[str, str], quote: Callable[[str], str]) -> str:
    """Put quoted words in the place of `{{name}}`; a word nobody gave is our bug and raises `ServiceError`."""

    def word(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in words:
            raise ServiceError(f"the service template asks for an unknown word: {name}")
        if "\n" in words[name] or "\0" in words[name]:
            raise ServiceError(f"{name} has a line break or NUL in it: {words[name]!r}")
        return quote(words[name])

    body = "\n".join(line for line in template.splitlines() if "{{words}}" not in line) + "\n"
    return re.sub(r"\{\{(\w+)\}\}", word, body)
