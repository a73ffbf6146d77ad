"""What becomes of running requests when a beat says they were cancelled or are no longer ours.

A lease that may have run out is only said, not acted upon: the server fences a late result (DESIGN §4.3), and stopping
a backup because of a broken network would be worse.
"""

from __future__ import annotations

import structlog

from agent.model import BeatReply, Reason
from agent.ports import Clock, Runner

log = structlog.get_logger()

LEASE_S = 60.0
_LOOK_EVERY_S = 15.0


class Leases:
    """`on_beat` is a listener of the heartbeat, `run` watches for its silence."""

    def __init__(self, runner: Runner, clock: Clock, *, lease_s: float = LEASE_S) -> None:
        self._runner = runner
        self._clock = clock
        self._lease_s = lease_s
        self._heard_at = clock.monotonic()
        self._said = False

    def on_beat(self, reply: BeatReply) -> None:
        """Obey cancellations, let go of what is lost."""
        self._heard_at = self._clock.monotonic()
        self._said = False
        for request_id in reply.lost:
            if self._runner.cancel_request(request_id, Reason.LOST):
                log.warning("request is no longer ours; ending its run", request=str(request_id))
        for request_id in reply.cancelled:
            if self._runner.cancel_request(request_id, Reason.CANCELLED):
                log.info("cancelling a request", request=str(request_id))

    async def run(self) -> None:
        """Say once per silence that leases may be lost, for ever."""
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            silent_s = self._clock.monotonic() - self._heard_at
            requests = [str(run.request_id) for run in self._runner.running() if run.request_id is not None]
            if silent_s > self._lease_s and requests and not self._said:
                self._said = True
                log.warning(
                    "no beat was answered for longer than a lease: these requests may be lost; going on",
                    requests=requests,
                )
