"""Time."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step; stands still while the machine sleeps (on Linux and macOS alike)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after about `seconds` (≤ 0: yield once)."""
        ...


class Jumps(Protocol):
    """Notices that the wall clock jumped against the monotonic one (report/wake.py)."""

    def look(self) -> None:
        """Look now: whoever has to know of a jump knows it when this returns."""
        ...
