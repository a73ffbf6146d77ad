"""Tells when one of a few files changed, however the editor wrote it.

Watches the folders, not the files: most editors replace a file by renaming another one over it. Where the system has
no watches left, it looks once a second instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path

import structlog
from watchfiles import Change, awatch

_log = structlog.get_logger()

_GATHER_MS = 1000
"""Longest time in which changes are gathered into one."""
_QUIET_MS = 100
"""A change is told when nothing happened for so long."""
_POLL_MS = 1000
_TICK_MS = 2000
"""How often it is seen whether the folders are still the same."""


class FileWatch:
    """A set of files to watch; the set may change."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = _places(paths)
        self._restart = asyncio.Event()
        self._polling = False

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch these from now on."""
        places = _places(paths)
        if places != self._paths:
            self._paths = places
            self._restart.set()

    async def changes(self) -> AsyncIterator[frozenset[Path]]:
        """The files that changed, after each burst of changes. Never ends.

        The first item, and one after each `follow`, comes by itself within a few seconds and may be empty: it stands
        for whatever happened before the watch stood.
        """
        while True:
            self._restart.clear()
            try:
                async with aclosing(self._watch()) as watching:
                    async for changed in watching:
                        yield changed
            except OSError as err:
                if self._polling:
                    raise
                _log.warning("no file watches left, looking once a second instead", error=str(err))
                self._polling = True

    async def _watch(self) -> AsyncGenerator[frozenset[Path]]:
        """Until `follow`, or until one of the folders is another one than before."""
        wanted = self._paths
        folders = sorted({path.parent for path in wanted})
        stood, told = _identities(folders), False
        watching = awatch(
            *(folder for folder in folders if folder.is_dir()),
            watch_filter=None,  # with one, neither a turn nor a time-out comes while a log in the folder grows
            debounce=_GATHER_MS,
            step=_QUIET_MS,
            stop_event=self._restart,
            recursive=False,
            force_polling=self._polling,
            poll_delay_ms=_POLL_MS,
            yield_on_timeout=True,
            rust_timeout=_TICK_MS,
        )
        async with aclosing(watching):
            async for changes in watching:
                ours = frozenset(Path(name) for _, name in changes) & wanted
                if ours or not told:
                    yield ours
                    told = True
                lost = any(_removed(change, name, folders) for change, name in changes)
                if lost or _identities(folders) != stood:
                    return


def _removed(change: Change, name: str, folders: Iterable[Path]) -> bool:
    """A folder was removed: a new one in its place, even with the old inode, is not watched any more."""
    return change is Change.deleted and Path(name) in folders


def _identities(folders: Iterable[Path]) -> list[tuple[int, int] | None]:
    """Which folders stand there now: one that appeared or came from elsewhere is not watched yet."""
    found: list[tuple[int, int] | None] = []
    for folder in folders:
        try:
            about = folder.stat()
        except OSError:
            found.append(None)
        else:
            found.append((about.st_dev, about.st_ino))
    return found


def _places(paths: Iterable[Path]) -> frozenset[Path]:
    """Each file where it is named and where a symbolic link leads, in folders without links: so events name them."""
    return frozenset(place for path in paths for place in (path.parent.resolve() / path.name, path.resolve()))
