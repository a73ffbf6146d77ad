"""What an agent is made of: locked and opened before it, closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir
from agent.adapters.http_job import HttpJobs
from agent.adapters.sqlite import Journal
from agent.app.configuration import Configuration
from agent.app.connections import Keeping, keeping
from agent.app.supabase import Supabase, connect
from agent.config.config import Config


@dataclass(frozen=True, kw_only=True)
class Given:
    """Everything that is opened for one agent."""

    configuration: Configuration
    config: Config
    state: StateDir
    journal: Journal
    supabase: Supabase
    calls: HttpJobs
    connections: Keeping
    environ: Mapping[str, str]
    takeover: bool


@asynccontextmanager
async def opened(
    configuration: Configuration, state: StateDir, environ: Mapping[str, str], *, takeover: bool
) -> AsyncIterator[Given]:
    """Lock the state directory, open the rest, close it afterwards. Raises `StateError`, `ConfigError`."""
    config = configuration.catalogue.config
    assert config is not None  # noqa: S101 - Configuration.open raises without one
    redactor = configuration.redactor
    with state.lock():
        journal = await Journal.open(state.database, SystemClock())
        try:
            async with (
                aclosing(HttpJobs()) as calls,
                connect(config, session_file=state.session, clock=SystemClock()) as supabase,
                keeping(lambda: configuration.catalogue.config, state, redactor) as connections,
            ):
                supabase.session.on_change(lambda token: redactor.add([token]))
                yield Given(
                    configuration=configuration,
                    config=config,
                    state=state,
                    journal=journal,
                    supabase=supabase,
                    calls=calls,
                    connections=connections,
                    environ=environ,
                    takeover=takeover,
                )
        finally:
            await journal.close()
