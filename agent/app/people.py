"""What a person does from the command line: sign in, press Run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir
from agent.adapters.supabase.people import People
from agent.app.supabase import connect
from agent.config.config import Config
from agent.errors import NeedsSignIn


def person_file(state: StateDir) -> Path:
    """Where a person's own session is kept; the agent's is `state.session`."""
    return state.path / "person.json"


async def sign_in(config: Config, state: StateDir, email: str, password: str, *, person: bool) -> None:
    """Sign in once and keep the session. Raises `Unreachable`, `NeedsSignIn`, `ConfigError`."""
    file = person_file(state) if person else state.session
    async with connect(config, session_file=file, clock=SystemClock(), person=True) as supabase:
        await supabase.session.sign_in(email, password)


@asynccontextmanager
async def as_person(config: Config, state: StateDir) -> AsyncIterator[People]:
    """The project as the person who signed in with `cronmirror login --person` sees it."""
    async with connect(config, session_file=person_file(state), clock=SystemClock(), person=True) as supabase:
        try:
            yield supabase.people(config.project)
        except NeedsSignIn as err:
            raise NeedsSignIn(
                str(err), hint="Run `cronmirror login --person` as somebody who may press Run in this project."
            ) from err
