"""What APScheduler's jobs do: those that are kept on disk are found by the name of a module's function."""

from __future__ import annotations

from collections.abc import Callable

noting: list[Callable[[], None]] = []
"""Whom to tell; put in by whoever measures."""


async def begin() -> None:
    """A coroutine, so that no thread has to be waited for."""
    for note in noting:
        note()
