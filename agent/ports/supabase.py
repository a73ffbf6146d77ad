"""The calls to Supabase, and its hints.

Each call raises Unreachable, SessionExpired/NeedsSignIn, Superseded, SchemaMissing or Refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from agent.model import (
    AgentState,
    BeatReply,
    Claimed,
    Hello,
    HelloReply,
    LogPiece,
    MirrorReply,
    MirrorSync,
    OutboxEntry,
    RunningRun,
    Verdict,
    WakeUp,
)


class HelloCall(Protocol):
    """`cron_agent_hello`."""

    async def hello(self, hello: Hello) -> HelloReply:
        """Raises also `HelloRefused`. Afterwards every call carries the new epoch."""
        ...


class BeatCall(Protocol):
    """`cron_agent_beat`."""

    async def beat(self, running: Sequence[RunningRun], state: AgentState, job_ids: Sequence[str]) -> BeatReply:
        """Liveness, lease renewal, and the news."""
        ...


class ClaimCall(Protocol):
    """`cron_claim_requests`."""

    async def claim(self, seq: int, job_ids: Sequence[str], limit: int, lease_s: int) -> Claimed:
        """The same `seq` again returns the same rows."""
        ...


class SlotCall(Protocol):
    """`cron_claim_slot`."""

    async def claim_slot(self, job_id: str, scheduled_for: datetime, run_id: UUID) -> str | None:
        """None: the slot is ours (asked again with the same `run_id`: still); else the agent that has it."""
        ...


class ReportCall(Protocol):
    """`cron_report`."""

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        """By seq; one answer per entry."""
        ...


class LogCall(Protocol):
    """`cron_append_logs`."""

    async def append_logs(self, pieces: Sequence[LogPiece]) -> frozenset[UUID]:
        """Live output, idempotent by run and seq. The runs the server does not know (yet): nothing of them was kept."""
        ...


class MirrorCall(Protocol):
    """`cron_sync_mirror`."""

    async def sync(self, sync: MirrorSync) -> MirrorReply:
        """An older `rev` is ignored by the server."""
        ...


class WakeUps(Protocol):
    """Supervised Realtime: hints, and whether they can be relied on."""

    @property
    def healthy(self) -> bool:
        """True after `Subscribed to PostgreSQL` and as long as probes come back."""
        ...

    async def next(self) -> WakeUp:
        """The next hint. Duplicates are collapsed; nothing is ever raised."""
        ...
