"""Requests and runs: what was asked for, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from uuid import UUID

from agent.model.jobs import Job, Placement
from agent.model.value import Json, Value


class Trigger(StrEnum):
    """Why a run exists; the values of `cron_runs.trigger`."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    CATCH_UP = "catch_up"
    STARTUP = "startup"
    EXEC = "exec"
    """`cronmirror exec`: by hand on the box. Never reported to Supabase."""


class RunStatus(StrEnum):
    """The values of `cron_runs.status`. All but RUNNING are final."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    MISSED = "missed"
    LOST = "lost"


class Reason(StrEnum):
    """The finer truth behind a status: `result.reason` and `cron_runs.reason`."""

    EXIT_CODE = "exit_code"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    LOST = "lost"
    EXPIRED = "expired"
    UNKNOWN_JOB = "unknown_job"
    REJECTED = "rejected"
    """Disabled job, payload that does not fit: refused before anything was started."""
    SPAWN_FAILED = "spawn_failed"
    """Command not found, not executable, workdir missing."""
    SIGNAL = "signal"
    """Ended by a signal that we did not send."""
    HTTP_STATUS = "http_status"
    """The answer to an HTTP request has a status that was not expected."""
    HTTP_ERROR = "http_error"
    """There was no whole answer to an HTTP request: no name, no connection, no trust, cut off."""
    OVERLAP = "overlap"
    ASLEEP = "asleep"
    AGENT_DOWN = "agent_down"
    OFFLINE = "offline"
    BUSY = "busy"
    PAUSED = "paused"
    NEEDS_REAUTH = "needs_reauth"
    """The job's connection has no token that works: a person must sign in again."""
    SHUTDOWN = "shutdown"
    """Ended because the agent was told to stop."""


class Turn(Enum):
    """Whether a slot of a shared job is this agent's to run."""

    OURS = "ours"
    TAKEN = "taken"
    """Another agent runs it, or it is over."""
    UNKNOWN = "unknown"
    """Nobody could be asked. It may be ours nevertheless: the answer may have been lost."""


@dataclass(frozen=True, kw_only=True)
class Request(Value):
    """A claimed row of `cron_run_requests`."""

    id: UUID
    job_id: str
    claims: int
    """Fencing token together with the agent's id: grows with every claim."""
    attempts: int
    """Number of this attempt, from 1."""
    max_attempts: int
    """The effective limit: the job's, possibly lowered by the request."""
    payload: Json = None
    requested_by: str | None = None
    requested_at: datetime | None = None
    run_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Run(Value):
    """An intent to execute a job once (one attempt). `id` is chosen here, before anything happens."""

    id: UUID
    job: Job
    trigger: Trigger
    attempt: int = 1
    max_attempts: int = 1
    scheduled_for: datetime | None = None
    """The slot, where a schedule (or a catch-up of one) is the reason."""
    request: Request | None = None
    cause: str | None = None
    """Of a catch-up: why the slot was missed; kept in `cron_runs.reason`."""

    @property
    def must_be_won(self) -> bool:
        """Whether other agents may have the same slot. A retry stays on its agent, and a start is nobody else's."""
        return self.job.placement is Placement.ANY and self.attempt == 1 and self.scheduled_for is not None


@dataclass(frozen=True, kw_only=True)
class Output(Value):
    """Redacted, bounded text of one stream."""

    text: str = ""
    """Head, a line saying how many bytes were left out, tail; or all of it. UTF-8 errors and NUL are U+FFFD."""
    total_bytes: int = 0
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome(Value):
    """How a run ended."""

    status: RunStatus
    reason: Reason | None
    started_at: datetime
    finished_at: datetime
    exit_code: int | None = None
    """Negative: ended by that signal."""
    stdout: Output = field(default_factory=Output)
    stderr: Output = field(default_factory=Output)
    error: str | None = None
    """One sentence for people; None when ok."""


@dataclass(frozen=True, kw_only=True)
class Report(Value):
    """One fact for Supabase, committed locally first: a run began, ended, or did not happen (docs/rpc.md)."""

    run_id: UUID
    job_id: str
    trigger: Trigger
    status: RunStatus
    attempt: int = 1
    reason: str | None = None
    request_id: UUID | None = None
    claims: int | None = None
    scheduled_for: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    exit_code: int | None = None
    output: str | None = None
    """Tail of both streams, for `cron_runs.output`."""
    error: str | None = None
    retry_in_s: float | None = None
    """Of a failed request that should be tried again: server's now plus this."""
    result: Mapping[str, Json] | None = None
    """For `cron_run_requests.result`; None on a start and on runs without a request."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun(Value):
    """A run that is certain to be wanted and has not begun: a fired slot, a catch-up, or a retry of a scheduled run.

    Committed in SQLite together with the schedule's cursor, gone in the same transaction that commits its start.
    """

    run_id: UUID
    job_id: str
    trigger: Trigger
    attempt: int = 1
    scheduled_for: datetime | None = None
    due_at: datetime
    cause: str | None = None


@dataclass(frozen=True, kw_only=True)
class LocalRun(Value):
    """A run as the box remembers it."""

    run_id: UUID
    job_id: str
    trigger: Trigger
    status: RunStatus
    attempt: int
    reason: str | None = None
    request_id: UUID | None = None
    claims: int | None = None
    scheduled_for: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    exit_code: int | None = None
    output: str | None = None
    error: str | None = None
    rejected: str | None = None
    """Why Supabase refused the report of this run (`fenced`, …), None when it did not."""


@dataclass(frozen=True, kw_only=True)
class RunningRun(Value):
    """A run that a process is executing now, or that waits for its turn on this agent."""

    run_id: UUID
    job_id: str
    request_id: UUID | None = None
    claims: int | None = None
    started_at: datetime | None = None
    """None while it waits."""
