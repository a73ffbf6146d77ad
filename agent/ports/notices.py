"""Notices: the box's memory of them, Supabase's list, the channels, the watchmen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from agent.model import DeliveriesJson, EndedRun, FiledNotice, Json, Notice, NoticeVerdict


class NoticeStore(Protocol):
    """Durable memory of the notices. Every method may raise `StateError`."""

    async def ended(self, limit: int) -> Sequence[EndedRun]:
        """The oldest ends of runs that nobody has judged yet, in order."""
        ...

    async def standings(self) -> Mapping[str, Json]:
        """By subject: what was last known of it."""
        ...

    async def judge(
        self,
        *,
        up_to: int | None = None,
        standings: Mapping[str, Json] | None = None,
        notices: Sequence[Notice] = (),
        verdict: NoticeVerdict | None = None,
    ) -> None:
        """One transaction: forget the ends up to that seq, take over the standings (None: forget), file the notices.

        A notice whose dedupe key is filed already is left out. `verdict`: what Supabase has said of them already.
        """
        ...

    async def filed(self) -> Sequence[FiledNotice]:
        """Every notice that is not over and done with, oldest first."""
        ...

    async def keep(self, filed: FiledNotice, *, done: bool = False) -> None:
        """Replace one by its seq. `done`: nobody has to be told any more; only its key is remembered."""
        ...

    async def wait_ended(self) -> None:
        """Return as soon as an end waits to be judged."""
        ...


class NoticeCalls(Protocol):
    """`cron_notify`, `cron_claim_notices`, `cron_delivered`. Errors as in `agent.ports.supabase`."""

    async def notify(self, notices: Sequence[Notice]) -> Mapping[UUID, NoticeVerdict]:
        """Put them into the project's list; by the id that we gave. The same again is a duplicate."""
        ...

    async def claim_notices(self, ids: Collection[UUID]) -> Sequence[Notice]:
        """Those of these notices of the project that nobody brings out yet: ours to deliver from now on."""
        ...

    async def delivered(self, deliveries: Mapping[UUID, DeliveriesJson]) -> None:
        """Show on which channels they went out."""
        ...


class Courier(Protocol):
    """Brings a message to a channel."""

    async def send(self, url: str, *, title: str, body: str, severity: str) -> str | None:
        """None when the channel took it, else one sentence why not; never raises for what a channel does."""
        ...


class Pinger(Protocol):
    """Asks a URL, so that somebody elsewhere notices when we no longer do."""

    async def ping(self, url: str, body: str) -> str | None:
        """None when it was heard, else one sentence why not (without the URL's path, which is a secret)."""
        ...
