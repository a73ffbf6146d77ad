"""How far this box's clock is from the server's. Coarse on purpose: a value that wobbles would wake every page."""

from __future__ import annotations

from datetime import datetime

import structlog

log = structlog.get_logger()

LOUD_MS = 5000
"""From here on it is said in the log: slots come that much too early or too late."""
_STEP_MS = 500
_LONGEST_TRIP_S = 2.0


class Skew:
    """`ms` is positive when our clock is ahead; None until it was measured."""

    def __init__(self) -> None:
        self.ms: int | None = None
        self._said_ms = 0

    def measure(self, asked_at: datetime, answered_at: datetime, server_time: datetime) -> None:
        """Compare the middle of the round trip with the server's time; slow trips say too little."""
        trip = answered_at - asked_at
        if not 0 <= trip.total_seconds() <= _LONGEST_TRIP_S:
            return
        exact = (asked_at + trip / 2 - server_time).total_seconds() * 1000
        if self.ms is None or abs(exact - self.ms) >= _STEP_MS:
            self.ms = round(exact / _STEP_MS) * _STEP_MS
            self._say(self.ms)

    def _say(self, ms: int) -> None:
        """Once per change: when it becomes large, another one, or small again."""
        if abs(ms) > LOUD_MS and abs(ms - self._said_ms) > LOUD_MS:
            log.warning(
                "this machine's clock is wrong, or Supabase's is",
                ahead_s=ms / 1000,
                hint="Switch on setting the time automatically: slots come that much too early.",
            )
            self._said_ms = ms
        elif abs(ms) <= LOUD_MS and self._said_ms:
            log.info("this machine's clock is right again", ahead_s=ms / 1000)
            self._said_ms = 0
