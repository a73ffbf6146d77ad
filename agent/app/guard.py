"""Both watchdogs, fed from the event loop: our own thread while the loop turns, systemd while the agent works.

Working means: the loop turns, no eternal task has ended, and the journal answers (a full disk is an answer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agent.adapters.sdnotify import SystemdNotify
from agent.adapters.watchdog import Watchdog
from agent.errors import StateError

FEED_EVERY_S = 1.0
TELL_EVERY_S = 20.0
"""Where systemd watches nothing, it still shows a status."""


class Guard:
    """Two loops: `watch` for the thread, `tell` for systemd."""

    def __init__(
        self,
        watchdog: Watchdog,
        systemd: SystemdNotify,
        *,
        journal: Callable[[], Awaitable[object]],
        failed: Callable[[], bool],
        status: Callable[[], str],
    ) -> None:
        """`journal`: returns, or raises `StateError`, once the journal's writer has answered."""
        self._watchdog = watchdog
        self._systemd = systemd
        self._journal = journal
        self._failed = failed
        self._status = status

    def ready(self) -> None:
        """The agent has started."""
        self._watchdog.start()
        self._systemd.say(READY="1", STATUS=self._status())

    def stopping(self) -> None:
        """The agent drains; it is watched until its loops end."""
        self._systemd.say(STOPPING="1", STATUS="draining")

    def over(self) -> None:
        """The loops are about to end."""
        self._watchdog.stop()

    async def watch(self) -> None:
        """Feed our own watchdog, for ever."""
        while True:
            self._watchdog.feed()
            await asyncio.sleep(FEED_EVERY_S)

    async def tell(self) -> None:
        """Feed systemd's watchdog three times within its patience, for ever; it starves where something is wrong."""
        if not self._systemd.listening:
            await asyncio.Event().wait()
        pause_s = (self._systemd.watchdog_s or 3 * TELL_EVERY_S) / 3
        while True:
            await self._answer()
            if not self._failed():
                self._systemd.say(WATCHDOG="1", STATUS=self._status())
            await asyncio.sleep(pause_s)

    async def _answer(self) -> None:
        try:
            await self._journal()
        except StateError:
            return
