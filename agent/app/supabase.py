"""Everything that talks to one Supabase project, joined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from agent.adapters.files import atomic_write
from agent.adapters.supabase.people import People
from agent.adapters.supabase.rpc import Database
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import drop_connections, open_http
from agent.config.config import Config
from agent.errors import ConfigError
from agent.ports import Clock


@dataclass(frozen=True, kw_only=True)
class Supabase:
    """One warm connection pool, the session on it, and the database behind it. Close it."""

    target: Target
    http: httpx.AsyncClient
    session: Session
    database: Database

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self.http.aclose()

    async def drop_connections(self) -> None:
        """The machine slept: trust no connection of before."""
        await drop_connections(self.http)

    def people(self, project: str) -> People:
        """What a person may do in `project`."""
        return People(self.database, project=project)


def connect(config: Config, *, session_file: Path, clock: Clock, person: bool = False) -> Supabase:
    """Nothing is sent yet. `person`: the configured agent's user and password are not used. Raises `ConfigError`."""
    if problems := config.missing_for_run():
        raise ConfigError(problems)
    settings = config.supabase
    assert settings is not None  # noqa: S101 - missing_for_run said so
    stored = session_file.exists() and session_file.stat().st_size > 0
    credentials = (None, None) if person else (settings.email, settings.password)
    target = Target(
        url=settings.url,
        key=settings.key or "",
        email=credentials[0],
        password=credentials[1],
        anonymous="open_access" in config.accept and credentials[0] is None and not stored,
    )
    http = open_http()
    session = Session(
        target,
        http=http,
        clock=clock,
        load=lambda: session_file.read_bytes() if session_file.exists() else None,
        save=lambda data: atomic_write(session_file, data),
    )
    return Supabase(target=target, http=http, session=session, database=Database(target, session, http))
