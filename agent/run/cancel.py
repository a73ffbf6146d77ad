"""How a run is told to end early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.ports import CancelFlag


class CancelSwitch(CancelFlag):
    """One-way: the first reason stays."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._set = asyncio.Event()
        self._told: list[Callable[[], None]] = []

    @property
    def reason(self) -> str | None:
        """None until set."""
        return self._reason

    def set(self, reason: str) -> None:
        """End the run; `reason` is a `Reason` value."""
        if self._reason is None:
            self._reason = reason
            self._set.set()
            for told in self._told:
                told()

    def tell(self, told: Callable[[], None]) -> None:
        """Call this once it is set; now if it is."""
        if self._reason is None:
            self._told.append(told)
        else:
            told()

    async def wait(self) -> str:
        """Return the reason once it is set."""
        await self._set.wait()
        assert self._reason is not None  # noqa: S101  # `set` is the only one who sets the event
        return self._reason
