"""Whether Supabase knows this agent, and in which order things may be said to it.

After a gap the order is beat → outbox → claim (SCHEMA, Rescue): a claim before that could take a request whose
finished run is still in the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Link:
    """`agent.ports.Gate`. The heartbeat says `reached` and `supersede`, the outbox `drained`, anybody `lost`."""

    def __init__(self) -> None:
        self._accepted = False
        self._drained = False
        self._superseded = False
        self._gap = 1
        self._recoveries = 0
        self._changed = asyncio.Event()

    @property
    def accepted(self) -> bool:
        """Hello and the last beat were answered."""
        return self._accepted

    @property
    def claiming(self) -> bool:
        """Accepted, and the outbox has been drained since the last gap."""
        return self._accepted and self._drained

    @property
    def gap(self) -> int:
        """Number of the last gap, from 1: the time before the first answer counts as one."""
        return self._gap

    async def wait_accepted(self) -> None:
        """Return as soon as `accepted`."""
        await self._until(lambda: self.accepted)

    async def wait_claiming(self) -> None:
        """Return as soon as `claiming`."""
        await self._until(lambda: self.claiming)

    async def wait_lost(self) -> None:
        """Return as soon as not `accepted`."""
        await self._until(lambda: not self.accepted)

    async def wait_recovered(self) -> None:
        """Return when the server answers again after it did not: whoever rests from a failure may try at once."""
        seen = self._recoveries
        await self._until(lambda: self._recoveries > seen)

    def recovered(self) -> None:
        """A beat was answered after some that were not."""
        self._recoveries += 1
        self._tell()

    def reached(self) -> None:
        """The server answered a beat: the gap, if there was one, is over."""
        if not self._superseded and not self._accepted:
            self._accepted = True
            self._tell()

    def drained(self, gap: int) -> None:
        """Everything that was pending when `gap` ended is settled. Ignored when another gap has begun since."""
        if gap == self._gap and self._accepted and not self._drained:
            self._drained = True
            self._tell()

    def lost(self) -> None:
        """A gap begins."""
        if self._accepted:
            self._accepted = self._drained = False
            self._gap += 1
            self._tell()

    def supersede(self) -> None:
        """Another process is the agent now: never accepted again."""
        self._superseded = True
        self.lost()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()
