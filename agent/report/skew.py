"""How far this box's clock is from the server's. Coarse on purpose: a value that wobbles would wake every page."""

from __future__ import annotations

from datetime import datetime

_STEP_MS = 500
_LONGEST_TRIP_S = 2.0


class Skew:
    """`ms` is positive when our clock is ahead; None until it was measured."""

    def __init__(self) -> None:
        self.ms: int | None = None

    def measure(self, asked_at: datetime, answered_at: datetime, server_time: datetime) -> None:
        """Compare the middle of the round trip with the server's time; slow trips say too little."""
        trip = answered_at - asked_at
        if not 0 <= trip.total_seconds() <= _LONGEST_TRIP_S:
            return
        exact = (asked_at + trip / 2 - server_time).total_seconds() * 1000
        if self.ms is None or abs(exact - self.ms) >= _STEP_MS:
            self.ms = round(exact / _STEP_MS) * _STEP_MS
