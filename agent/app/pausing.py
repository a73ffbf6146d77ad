"""Pause and resume on this box, with or without a running agent and a network."""

from __future__ import annotations

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir
from agent.adapters.sqlite.glance import glance
from agent.app.people import as_person
from agent.config.config import Config
from agent.errors import Refused
from agent.model import Pause
from agent.report.pauses import NOTE, in_force, parse

NO_SUCH_AGENT = "22023"
"""It never said hello: nobody can have paused it (docs/rpc.md)."""


def box_pause(state: StateDir) -> Pause | None:
    """The box's own, where it is in force."""
    return _current(state.pause.read())


async def operators_pause(state: StateDir) -> Pause | None:
    """The one that the agent's last beat told of, where it is in force. Raises `StateError`."""
    return _current(parse((await glance(state.database, NOTE)).notes.get(NOTE)))


async def lift_operators(config: Config, state: StateDir, agent_id: str) -> None:
    """Resume the project and this agent, as the person who signed in. Errors: those of `rpc.Database`."""
    async with as_person(config, state) as people:
        await people.set_paused(mode="none")
        try:
            await people.set_paused(mode="none", agent_id=agent_id)
        except Refused as refusal:
            if refusal.code != NO_SUCH_AGENT:
                raise


def _current(pause: Pause | None) -> Pause | None:
    return pause if pause is not None and in_force(pause, SystemClock().now()) else None
