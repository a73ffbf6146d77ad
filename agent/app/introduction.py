"""How the agent introduces itself to Supabase: who it is, and what it remembers."""

from __future__ import annotations

import platform
import socket
from importlib.metadata import version
from uuid import UUID

from agent.adapters.machine import machine_id
from agent.app.given import Given
from agent.model import Hello
from agent.ports import Runner
from agent.report.outages import Outages

INSTANCE_NOTE = "instance"
"""Where the journal keeps whose memory it is."""


class Introduction:
    """Makes the hello, and says at each beat which requests are here."""

    def __init__(self, given: Given, agent_id: str, runner: Runner, outages: Outages) -> None:
        self._config, self._state, self._journal = given.config, given.state, given.journal
        self._takeover = given.takeover
        self._agent_id = agent_id
        self._runner = runner
        self._outages = outages

    async def hello(self) -> Hello:
        """As of now. Raises `StateError`."""
        return Hello(
            instance=await self._instance(),
            known=await self.known_requests(),
            takeover=self._takeover,
            info={
                "name": self._config.agent_name or self._agent_id,
                "version": version("cronmirror"),
                "hostname": socket.gethostname(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "tags": sorted(self._config.agent_tags),
                "last_outage": self._outages.last,
            },
        )

    async def known_requests(self) -> tuple[UUID, ...]:
        """Requests that this agent has, or whose end it has still to report. First the runs: one may end meanwhile."""
        admitted = [run.request_id for run in self._runner.running() if run.request_id is not None]
        return tuple({*admitted, *await self._journal.unreported_requests()})

    async def _instance(self) -> UUID:
        """Who remembers: state directory and journal together. Without the journal nobody knows what had begun."""
        kept = await self._journal.get(INSTANCE_NOTE)
        instance = self._state.instance(machine_id(), anew=kept is None)
        if kept != str(instance):
            await self._journal.put(INSTANCE_NOTE, str(instance))
        return instance
