"""Shows how the agent's connections stand: after hello and after each change.

The answer says what people ask of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from agent.errors import CronmirrorError, PermanentError, TemporaryError
from agent.model import BeatReply, HelloReply, ReconnectRequest, Standing
from agent.pace import backoff, first
from agent.ports import Clock, ConnectionCalls, Gate, Standings

RETRY_CAP_S = 60.0
REFUSED_S = 600.0
"""After a refusal: an older database, or an agent without a user of its own (open access shows no connections)."""

log = structlog.get_logger()


class ConnectionReports:
    """The loop. `on_hello`, `on_beat` and `kick` make it look at once; `show` reports out of turn."""

    def __init__(
        self,
        standings: Standings,
        calls: ConnectionCalls,
        gate: Gate,
        clock: Clock,
        *,
        attend: Callable[[Sequence[ReconnectRequest]], None],
    ) -> None:
        self._standings = standings
        self._calls = calls
        self._gate = gate
        self._clock = clock
        self._attend = attend
        self._kicked = asyncio.Event()
        self._revision = 0
        self._shown: Sequence[Standing] | None = None
        """What the server has; None: it is not known."""
        self._refused: Mapping[str, str] = {}
        self._failures = 0

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await self._gate.wait_accepted()
            self._kicked.clear()
            try:
                await self._report()
            except CronmirrorError as error:
                await self._rest(error)
                continue
            self._failures = 0
            await first(self._changed(), self._kicked.wait())

    def kick(self) -> None:
        """Somebody asks something: look now."""
        self._kicked.set()

    def on_hello(self, reply: HelloReply) -> None:  # noqa: ARG002 - a listener takes the answer
        """Begin anew: another life may have written since."""
        self._shown = None
        self.kick()

    def on_beat(self, reply: BeatReply) -> None:
        """The net under Realtime."""
        if reply.reconnects:
            self.kick()

    async def show(self) -> None:
        """Report now, as well as that goes: before a page is told that it may look."""
        try:
            await self._report(ask=False)
        except CronmirrorError as error:
            log.debug("connections not shown; the loop does it", error=str(error))

    async def _changed(self) -> None:
        self._revision = await self._standings.next_change(self._revision)

    async def _report(self, *, ask: bool = True) -> None:
        standings = tuple(self._standings.standings())
        known = {each.connection_id: each for each in self._shown or ()}
        changed = [each for each in standings if known.get(each.connection_id) != each]
        reply = await self._calls.report_connections(changed, [each.connection_id for each in standings])
        self._shown = tuple(each for each in standings if each.connection_id not in reply.refused)
        self._note_owners(reply.refused)
        if ask:
            self._attend(reply.requests)

    def _note_owners(self, refused: Mapping[str, str]) -> None:
        """Tried again with every report, for its owner may let go; said once."""
        for connection_id, owner in refused.items():
            if self._refused.get(connection_id) != owner:
                log.warning(
                    "connection not shown: another agent has one of this id", connection=connection_id, owner=owner
                )
        self._refused = refused

    async def _rest(self, error: CronmirrorError) -> None:
        self._failures += 1
        quiet = self._failures > 1 or not self._standings.standings()
        said = log.debug if quiet else log.warning
        said("connections not shown; trying again", error=str(error), hint=error.hint)
        if isinstance(error, TemporaryError):
            self._gate.lost()
        hopeless = isinstance(error, PermanentError)
        wait_s = REFUSED_S if hopeless else backoff(self._failures, cap_s=RETRY_CAP_S)
        waits = [self._clock.sleep(wait_s), self._gate.wait_recovered()]
        await first(*waits, *([self._kicked.wait()] if hopeless else []))
