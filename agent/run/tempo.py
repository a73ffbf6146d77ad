"""How long the runs of a job take lately, and how many more would begin in a moment. Pure, no clock."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

QUICK_S = 1.0
"""A job whose runs take less has them begun as soon as they are here: worth having the next ones here already."""
MOMENT_S = 0.5
"""Requests are claimed ahead that will have begun after about so long."""
MOST = 64
"""Requests claimed ahead: what an agent that dies for good leaves to the lease."""
_WEIGHT = 0.2
_SHORTEST_S = 0.005


class Tempo:
    """Seconds per run, by job: a moving average that a slow run raises at once."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def ended(self, job_id: str, seconds: float) -> None:
        """A run has ended after so long."""
        before = self._seconds.get(job_id, seconds)
        self._seconds[job_id] = max(seconds, before) if seconds >= QUICK_S else before + _WEIGHT * (seconds - before)

    def quick(self) -> Collection[str]:
        """Jobs whose runs are quick."""
        return [job_id for job_id, seconds in self._seconds.items() if seconds < QUICK_S]

    def beginning(self, active: Iterable[str]) -> int:
        """How many waiting runs will begin within a moment, while one run of each of these jobs is active."""
        rate = sum(
            1 / max(_SHORTEST_S, s) for s in (self._seconds.get(job_id, QUICK_S) for job_id in active) if s < QUICK_S
        )
        return min(MOST, math.ceil(rate * MOMENT_S))
