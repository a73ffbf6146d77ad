"""Slots of shared jobs (`placement: any`): asks the database whose turn it is, and says when it cannot be asked.

The run's id is on disk before it is asked, and it is asked again under the same id: neither a lost answer nor a crash
between answer and start loses a slot that was won (docs/rpc.md, `cron_claim_slot`). After a gap the outbox goes first:
what this agent missed is said before it asks to catch it up.
"""

from __future__ import annotations

import structlog

from agent.errors import CronmirrorError, Forgotten, Refused
from agent.model import Run, Turn
from agent.ports import Clock, Gate, SlotCall

log = structlog.get_logger()

REST_S = 2.0
"""After a refusal (the mirror does not name this agent yet, hello comes first): until it is asked again."""


class SlotTurns:
    """`agent.ports.Turns`."""

    def __init__(self, call: SlotCall, gate: Gate, clock: Clock) -> None:
        self._call = call
        self._gate = gate
        self._clock = clock
        self._rests_until = clock.monotonic()

    @property
    def open(self) -> bool:
        """Supabase knows this agent, has all its reports, and did not refuse an answer just now."""
        return self._gate.claiming and self._clock.monotonic() >= self._rests_until

    async def wait_open(self) -> None:
        """Return as soon as `open`."""
        while not self.open:
            await self._gate.wait_claiming()
            await self._clock.sleep(self._rests_until - self._clock.monotonic())

    async def ask(self, run: Run) -> Turn:
        """Whose slot it is; `UNKNOWN` where nobody answers."""
        assert run.scheduled_for is not None  # noqa: S101 - only slots are asked for
        if not self.open:
            return Turn.UNKNOWN
        try:
            winner = await self._call.claim_slot(run.job.id, run.scheduled_for, run.id)
        except CronmirrorError as error:
            self._rest(run, error)
            return Turn.UNKNOWN
        if winner is None:
            return Turn.OURS
        log.info("slot runs on another agent", job=run.job.id, slot=run.scheduled_for, agent=winner)
        return Turn.TAKEN

    def _rest(self, run: Run, error: CronmirrorError) -> None:
        log.warning("a slot could not be asked for", job=run.job.id, slot=run.scheduled_for, error=str(error))
        self._rests_until = self._clock.monotonic() + REST_S
        if not isinstance(error, Refused | Forgotten):  # whether the server is there is the heartbeat's to find out
            self._gate.lost()
