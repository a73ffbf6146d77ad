"""The one place that notices that the machine slept or that its clock was set: wall time against monotonic time.

The monotonic clock stands still while the machine sleeps (agent/adapters/clock.py), so both look alike: the wall clock
has run ahead. Everybody who has to act upon it is told at once, and nobody looks for himself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from agent.ports import Clock

log = structlog.get_logger()

TICK_S = 1.0
JUMP_S = 10.0
"""A difference that no correction of a running clock makes within a tick (adjtime slews by 0.5 ms per second)."""


class WakeWatch:
    """`agent.ports.Jumps`. `jumped` hears by how many seconds the wall clock ran ahead (negative: was set back).

    `thawed` hears for how long the process stood still while both clocks went on (SIGSTOP, a paused virtual machine,
    an overloaded box). Both must neither block nor raise.
    """

    def __init__(self, clock: Clock, jumped: Callable[[float], None], thawed: Callable[[float], None]) -> None:
        self._clock = clock
        self._jumped = jumped
        self._thawed = thawed
        self._seen = (clock.now(), clock.monotonic())

    async def run(self) -> None:
        """Look every second, for ever."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(TICK_S)
            self.look()
            late_s = self._clock.monotonic() - before - TICK_S
            if late_s > JUMP_S:
                log.warning("the agent stood still", seconds=round(late_s))
                self._thawed(late_s)

    def look(self) -> None:
        """Compare the clocks now; whoever has to know of a jump knows it when this returns."""
        now, steady = self._clock.now(), self._clock.monotonic()
        ahead_s = _seconds(self._seen[0], now) - (steady - self._seen[1])
        self._seen = (now, steady)
        if ahead_s > JUMP_S:
            log.info("the machine was asleep, or its clock was set forward", seconds=round(ahead_s))
            self._jumped(ahead_s)
        elif ahead_s < -JUMP_S:
            log.warning("the clock was set back", seconds=round(-ahead_s))
            self._jumped(ahead_s)


def _seconds(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()
