"""Who is at work in a stack's folder: a lock, and what its holder says of itself.

The kernel lets go of the lock when its process ends, however it ends, and what stands in the file counts only while the
lock is held: a killed stack leaves nothing stale, and a pid that another process got is never taken for ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from agent.adapters.files import LOCK_AGAIN_S, LOCK_TRIES, locked_by, take_lock
from agent.errors import StackError


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds the lock."""

    pid: int
    doing: str
    """`running`, or a word for what is done in its place (`backup`, `restore` …)."""
    since: str
    """ISO time."""
    sockets: str | None = None
    """Folder of PostgreSQL's socket, once it answers."""
    url: str | None = None
    """Where the gateway answers, once it does."""


class Hold:
    """The lock at `path`, for one process; `take`, `tell` and `release` may be repeated."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None
        self._facts: Holder | None = None

    def take(self, doing: str) -> None:
        """Hold it. StackError names who holds it already."""
        held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            take_lock(held)
        except OSError as err:
            holder = _read(held)
            os.close(held)
            raise refusal(self._path.parent, holder) from err
        self._held = held
        self._facts = Holder(pid=os.getpid(), doing=doing, since=datetime.now(UTC).isoformat(timespec="seconds"))
        self.tell()

    def tell(self, *, sockets: str | None = None, url: str | None = None) -> None:
        """Say more of ourselves to whoever looks."""
        if self._held is None or self._facts is None:
            return
        self._facts = replace(self._facts, sockets=sockets or self._facts.sockets, url=url or self._facts.url)
        text = json.dumps(asdict(self._facts)).encode()
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, text, 0)

    def release(self) -> None:
        """Let go; the file stays, for removing it would race with the next to take it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def look(path: Path) -> Holder | None:
    """Who holds the lock at `path`; None: nobody."""
    return locked_by(path, _read)


def refusal(folder: Path, holder: Holder) -> StackError:
    """Why nothing else can be done in `folder` now."""
    if holder.doing == "running":
        return StackError(
            f"the local stack in {folder} is already running (process {holder.pid})",
            hint="Stop that one, or use another folder.",
        )
    return StackError(
        f"the local stack in {folder} is busy: {holder.doing} (process {holder.pid})", hint="Wait until that is done."
    )


def _read(held: int) -> Holder:
    """What the holder wrote. One of an older version wrote its pid alone."""
    known = {each.name for each in fields(Holder)}
    nobody = Holder(pid=0, doing="running", since="")
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(ValueError, TypeError):
            found = json.loads(os.pread(held, 4096, 0))
            if isinstance(found, int):
                return replace(nobody, pid=found)
            return Holder(**{name: value for name, value in found.items() if name in known})
        time.sleep(LOCK_AGAIN_S)
    return nobody
