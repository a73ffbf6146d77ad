"""Notices, wired: the desk that files them, the post that brings them out, the watchmen that are pinged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from agent.adapters.notify import AppriseCourier
from agent.adapters.ping import HttpPinger
from agent.adapters.sqlite import Journal
from agent.adapters.supabase.rest import Rest
from agent.app.configuration import Configuration
from agent.config.config import Config
from agent.model import BeatReply, Channel, NotifyRules, PlannedRun, Report, Severity, Standing
from agent.notices.desk import Desk, Identity, Sources
from agent.notices.pings import Pings
from agent.notices.post import Addresses, Desks, Post
from agent.ports import Clock, Courier, Gate

LAST_PINGS_S = 3.0
TEST_TITLE = "A test of Cronmirror"


class Notices:
    """Everything that an agent says to people and watchmen."""

    def __init__(self, journal: Journal, rest: Rest, gate: Gate, configuration: Configuration, clock: Clock) -> None:
        self._journal, self._rest, self._gate = journal, rest, gate
        self._configuration = configuration
        self._clock = clock
        self._pinger = HttpPinger()
        self.pings = Pings(self._pinger, configuration.catalogue, self._rules, clock)
        journal.on_recorded(self._recorded)

    def introduce(
        self, agent_id: str, config_error: Callable[[], str | None], standings: Callable[[], Sequence[Standing]]
    ) -> None:
        """Who speaks, and what else is to be said."""
        config, catalogue = self._configuration.catalogue.config, self._configuration.catalogue
        identity = Identity(agent_id=agent_id, name=(config.agent_name if config else None) or agent_id)
        redact = self._configuration.redactor
        desks = Desks(store=self._journal.notices, calls=self._rest, courier=AppriseCourier(), gate=self._gate)
        addresses = Addresses(rules=self._rules, jobs=catalogue, redact=redact)
        self.post = Post(desks, addresses, identity, self._clock)
        sources = Sources(
            jobs=catalogue, rules=self._rules, config_error=config_error, standings=standings, redact=redact
        )
        self.desk = Desk(self._journal.notices, sources, identity, self._clock, self.post.kick)

    def loops(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """By name."""
        return {"notices": self.desk.run(), "post": self.post.run(), "pulse": self.pings.run()}

    def on_beat(self, reply: BeatReply) -> None:
        """The beat says which notices wait for somebody to bring them out."""
        self.post.on_waiting(reply.waiting)

    def on_reload(self) -> None:
        """The configuration is another one."""
        self.pings.on_reload()
        self.post.kick()

    async def close(self) -> None:
        """Let the last pings out."""
        await self.pings.close(LAST_PINGS_S)
        await self._pinger.aclose()

    def _rules(self) -> NotifyRules:
        config = self._configuration.catalogue.config
        return config.notify if config else NotifyRules()

    def _recorded(self, report: Report, retry: PlannedRun | None) -> None:
        self.pings.on_report(report, final=retry is None and report.retry_in_s is None)


async def try_channel(channel: Channel, config: Config, *, courier: Courier | None = None) -> str | None:
    """Send a test message; None when the channel took it, else why not."""
    host, now = socket.gethostname(), datetime.now(UTC)
    body = f"Sent from {host} at {now:%Y-%m-%d %H:%M} UTC for the project {config.project}: this channel works."
    return await (courier or AppriseCourier()).send(
        channel.url, title=f"{TEST_TITLE} ({uuid4().hex[:6]})", body=body, severity=Severity.INFO.value
    )
