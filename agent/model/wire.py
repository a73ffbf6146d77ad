"""What the agent tells Supabase and what it is told (docs/rpc.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from agent.model.notices import WaitingNotice
from agent.model.runs import Report, Request
from agent.model.value import Json, Value


class WakeKind(StrEnum):
    """Why intake or the heartbeat should look at once."""

    QUEUED = "queued"
    CANCEL = "cancel"
    RESUBSCRIBED = "resubscribed"


@dataclass(frozen=True, kw_only=True)
class WakeUp(Value):
    """A hint from Realtime. Never the truth: the claim and the beat are."""

    kind: WakeKind
    request_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Hello(Value):
    """`cron_agent_hello`: this process is the agent now."""

    instance: UUID
    info: Mapping[str, Json]
    """name, version, hostname, platform, machine, python."""
    known: tuple[UUID, ...] = ()
    """Requests whose run has begun here (or ended unreported): all others held by this agent return to the queue."""
    takeover: bool = False


@dataclass(frozen=True, kw_only=True)
class HelloReply(Value):
    """What the server made of a hello. A refusal is raised as `HelloRefused`."""

    epoch: int
    role: str
    schema_version: int
    server_time: datetime
    claim_seq: int = 0
    """Highest claim sequence number the server has seen from this agent."""
    requeued: tuple[UUID, ...] = ()
    lost: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LogPiece(Value):
    """A piece of a run's live output, redacted. An empty text is the last: nothing more comes."""

    run_id: UUID
    seq: int
    """From 0, over both streams."""
    at: datetime
    stream: str
    """`stdout` or `stderr`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Pause(Value):
    """`until=None` means until resumed."""

    mode: Literal["all", "schedule"]
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class AgentState(Value):
    """What a beat says about the agent; `cron_agents` is updated only where it differs."""

    state: Literal["online", "draining", "stopped"] = "online"
    realtime: Literal["connected", "polling"] = "polling"
    running: int = 0
    jobs: int = 0
    config_error: str | None = None
    clock_skew_ms: int | None = None
    probe: bool = False
    """Bump `cron_agents.probe_at`, so that Realtime can prove itself."""
    pause: Pause | None = None
    """The box's own."""
    outage: Mapping[str, Json] | None = None
    """The last one (report/outages.py)."""
    known: tuple[UUID, ...] | None = None
    """Of an agent that begins nothing any more: requests whose run has begun here (or ended unreported). All others it
    holds return to the queue. None: nothing is handed back."""


@dataclass(frozen=True, kw_only=True)
class BeatReply(Value):
    """`cron_agent_beat`'s answer."""

    server_time: datetime
    cancelled: tuple[UUID, ...] = ()
    """Requests of ours whose cancellation was asked for."""
    lost: tuple[UUID, ...] = ()
    """Requests we said we run that are no longer ours."""
    due: int = 0
    """Queued requests for our jobs that could be claimed now."""
    next_due_at: datetime | None = None
    pause: Pause | None = None
    waiting: tuple[WaitingNotice, ...] = ()
    """Notices that nobody brings to any channel yet."""

    reconnects: int = 0
    """How many sign-ins ask something of us."""


@dataclass(frozen=True, kw_only=True)
class Claimed(Value):
    """`cron_claim_requests`' answer."""

    server_time: datetime
    requests: tuple[Request, ...] = ()
    due: int = 0
    """Claimable requests that are left."""
    next_due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class MirrorRow(Value):
    """One job as `cron_mirror` shows it; see docs/rpc.md, `cron_sync_mirror`."""

    job_id: str
    name: str
    schedule_kind: str | None = None
    schedule_expr: str | None = None
    tz: str | None = None
    enabled: bool = True
    next_run_at: datetime | None = None
    instructions: str | None = None
    source: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    accepts: Mapping[str, Json] | None = None
    timeout_s: float | None = None
    overlap: str | None = None
    retry: Mapping[str, Json] | None = None
    placement: str = "mine"
    connection_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class MirrorSync(Value):
    """`cron_sync_mirror`: what changed since the last acknowledged sync."""

    rev: int
    changed: tuple[MirrorRow, ...] = ()
    job_ids: tuple[str, ...] | None = None
    """Every job id of ours, so that the server can drop the others; None: drop nothing."""


@dataclass(frozen=True, kw_only=True)
class MirrorReply(Value):
    """Counts, and the jobs another agent owns."""

    server_time: datetime
    upserted: int = 0
    removed: int = 0
    touched: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    """job id → id of the agent that owns it."""


class VerdictKind(StrEnum):
    """What the server made of one report."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Verdict(Value):
    """The server's answer to one report."""

    run_id: UUID
    kind: VerdictKind
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class OutboxEntry(Value):
    """A report that Supabase has not acknowledged, in order of `seq`."""

    seq: int
    report: Report
    without_output: bool = False
    """The output was given up so that the outcome gets through."""
