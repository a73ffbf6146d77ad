"""What the page is told at `config.json`: the project's address and its public key, never another one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from agent.adapters.supabase.target import KeyKind, Target
from agent.errors import ConfigError, Problem

ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`url` empty: the page talks to where it comes from. Raises `ConfigError` for what must not reach a browser."""

    key: str = field(repr=False)
    url: str = ""
    project: str | None = None
    local: bool = False
    """The embedded stack: the page then accepts a session that comes with its address."""

    def __post_init__(self) -> None:
        if self.url and not ORIGIN.fullmatch(self.url):
            said = f"{self.url!r} is not the address of a Supabase project; it looks like https://abcdefgh.supabase.co"
            raise ConfigError([Problem(message=said, path="supabase.url")])
        if Target(url=self.url or "http://localhost", key=self.key).key_kind is KeyKind.SECRET:
            said = (
                "is a secret (service_role) key, which may do everything in the project, and the dashboard would hand "
                "it to every browser that opens it. It needs the publishable (anon) key: people sign in beside it"
            )
            raise ConfigError([Problem(message=said, path="supabase.key")])

    def seen_at(self, host: str, scheme: str = "http") -> Self:
        """As a browser needs it that asked `host`: through a tunnel the same stack has another address."""
        return self if self.url else replace(self, url=f"{scheme}://{host}")

    @property
    def origins(self) -> tuple[str, str]:
        """Where the page has to connect to: HTTP and websocket."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}", f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"

    def json(self) -> bytes:
        """The text of `config.json`."""
        told = {"url": self.url, "key": self.key}
        optional = {"project": self.project} if self.project else {}
        return json.dumps(told | optional | ({"local": True} if self.local else {}), ensure_ascii=False).encode()
