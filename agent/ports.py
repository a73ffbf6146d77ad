"""What the stages call: Protocols owned by their consumers, holding only what is called.

`app/` joins them to adapters and to each other. Every `async` method may be cancelled; none swallows cancellation.
Errors: those of `agent.errors` only, as each docstring names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from agent.model import (
    AgentState,
    BeatReply,
    Claimed,
    Hello,
    HelloReply,
    Job,
    Json,
    LocalRun,
    MirrorReply,
    MirrorSync,
    OutboxEntry,
    PlannedRun,
    Report,
    Run,
    RunningRun,
    Verdict,
    WakeUp,
)

# ── time ────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step; stands still while the machine sleeps (on Linux and macOS alike)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after about `seconds` (≤ 0: yield once)."""
        ...


# ── jobs ────────────────────────────────────────────────────────────────────


class Jobs(Protocol):
    """The jobs of the configuration in force; replaced whole on reload."""

    @property
    def revision(self) -> int:
        """Grows by one with every accepted reload; from 1."""
        ...

    @property
    def valid(self) -> bool:
        """False while the agent has never had a valid configuration of its own (then no deletion is synced)."""
        ...

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        ...

    def all(self) -> Sequence[Job]:
        """Every job in file order."""
        ...

    async def wait_changed(self, revision: int) -> int:
        """Return the new revision as soon as it is no longer `revision`."""
        ...


# ── processes ───────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """What to start. The environment is complete: nothing is inherited."""

    argv: Sequence[str]
    env: Mapping[str, str]
    workdir: str
    stdin: bytes | None
    """Written to the process, then closed; None: /dev/null."""
    timeout_s: float
    grace_s: float
    """Between TERM and KILL of the whole process group."""


@dataclass(frozen=True, kw_only=True)
class ProcessEnd:
    """How a process ended. At most one of `timed_out`, `cancelled`, `spawn_error` says why."""

    exit_code: int | None
    """Negative: ended by that signal. None when it never started."""
    timed_out: bool = False
    cancelled: bool = False
    spawn_error: str | None = None
    """One sentence naming the command or the directory and what to do."""


class OutputSink(Protocol):
    """Takes a process' output as it comes."""

    def feed(self, stream: str, data: bytes) -> None:
        """`stream` is `stdout` or `stderr`. Called from the event loop; must not block or raise."""
        ...


class Processes(Protocol):
    """Starts processes in a group of their own and ends the whole group."""

    async def run(self, spec: ProcessSpec, sink: OutputSink, cancel: CancelFlag) -> ProcessEnd:
        """Run to the end; never raises for anything the command does.

        When it returns, no process of the group is left (TERM → grace → KILL, children that outlive their parent too).
        """
        ...

    async def end_survivors(self, run_ids: Sequence[UUID]) -> Sequence[UUID]:
        """End the processes that carry one of these `CRONMIRROR_RUN_ID`s; return the run ids that had any."""
        ...


class CancelFlag(Protocol):
    """One-way flag that an executing run watches."""

    @property
    def reason(self) -> str | None:
        """None until set; then a `Reason` value (`cancelled`, `lost`, `shutdown`, `overlap`)."""
        ...

    async def wait(self) -> str:
        """Return the reason once it is set."""
        ...


class Payloads(Protocol):
    """Checks payloads and hands them over as files."""

    def fault(self, schema: Mapping[str, Json], payload: Json) -> str | None:
        """None when `payload` fits, else one sentence: `payload.width: 0 is less than the minimum of 1`."""
        ...

    def write(self, run_id: UUID, payload: Json) -> str:
        """Write JSON to a file only we can read; return its absolute path. Raises `StateError`."""
        ...

    def remove(self, run_id: UUID) -> None:
        """Remove that file; silent when there is none."""
        ...


Redact = Callable[[str], str]
"""Replaces every known secret (plain, base64, URL-encoded) in a text by `***`."""


# ── local memory (SQLite) ───────────────────────────────────────────────────


class RunJournal(Protocol):
    """The executor's and intake's durable record. Every method returns after the commit is on disk."""

    async def record(self, report: Report, *, retry: PlannedRun | None = None) -> None:
        """Commit the report to the outbox and the local history in one transaction.

        A start (`status=running`) or an end without one (skipped, cancelled while it waited) also removes the planned
        run of the same id; `retry` plans another one.
        Reports of trigger `exec` go to the history alone. Raises `StateError`.
        """
        ...

    async def begun(self, request_id: UUID, claims: int) -> bool:
        """Whether a run of this claim was ever recorded here."""
        ...

    async def unfinished(self) -> Sequence[LocalRun]:
        """Runs recorded as started and not as ended: of a previous life when asked at start."""
        ...

    async def unreported_requests(self) -> Sequence[UUID]:
        """Requests with an unfinished run or with reports still in the outbox."""
        ...


class SlotJournal(Protocol):
    """The scheduler's durable record."""

    async def cursor(self, job_id: str) -> datetime | None:
        """All slots up to here have been decided; None for a job never seen."""
        ...

    async def decide(
        self,
        *,
        cursors: Mapping[str, datetime],
        planned: Sequence[PlannedRun] = (),
        reports: Sequence[Report] = (),
        dropped: Sequence[UUID] = (),
    ) -> None:
        """One transaction: forget planned runs, advance cursors (never backwards), record reports, plan runs.

        In that order: a catch-up takes the place of the planned run that it drops, and may have a `missed` row.
        A report whose (job, slot, attempt) already has a row in the history is left out silently; so is a planned run
        whose (job, slot, attempt) is already planned or has a row other than `missed`.
        """
        ...

    async def planned(self) -> Sequence[PlannedRun]:
        """Every run planned and not begun, by `due_at`."""
        ...

    async def drop(self, run_ids: Sequence[UUID]) -> None:
        """Forget planned runs (their job is gone)."""
        ...


class OutboxStore(Protocol):
    """The sender's view of the outbox."""

    async def pending(self, limit: int, max_bytes: int) -> Sequence[OutboxEntry]:
        """The oldest entries that are not set aside, in order; at least one when there is one."""
        ...

    async def newest(self) -> int:
        """Seq of the youngest entry that is not set aside; 0 when there is none."""
        ...

    async def settle(self, verdicts: Mapping[int, Verdict]) -> None:
        """Remove these entries (by seq); a rejection's `why` is kept in the local history."""
        ...

    async def strip_output(self, seq: int) -> None:
        """Give up output and error text of this entry, keep its outcome."""
        ...

    async def set_aside(self, seq: int, why: str) -> None:
        """Keep the entry, never send it again by itself, show it to `doctor`."""
        ...

    async def wait_pending(self) -> None:
        """Return as soon as there is an entry to send."""
        ...


class Notes(Protocol):
    """Small durable values of the agent itself (claim sequence, last known good, …)."""

    async def get(self, key: str) -> str | None:
        """The value, or None."""
        ...

    async def put(self, key: str, value: str) -> None:
        """Commit the value."""
        ...


# ── Supabase ────────────────────────────────────────────────────────────────
# Each raises Unreachable, SessionExpired/NeedsSignIn, Superseded, SchemaMissing or Refused.


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


class ReportCall(Protocol):
    """`cron_report`."""

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        """By seq; one answer per entry."""
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


# ── between the stages ──────────────────────────────────────────────────────


class Runner(Protocol):
    """Takes runs and executes them when their turn comes (run/slots.py)."""

    @property
    def free(self) -> int:
        """How many more runs could start now (global concurrency); 0 while draining."""
        ...

    def claimable(self) -> Sequence[str]:
        """Ids of enabled and disabled jobs for which a request could start now (a busy `skip`/`queue` job is not)."""
        ...

    def submit(self, run: Run) -> None:
        """Admit the run: it starts, waits, or is recorded as skipped, by its job's overlap rule and concurrency.

        Requests never skip: where their job is busy they wait.
        """
        ...

    def cancel_request(self, request_id: UUID, reason: str) -> bool:
        """Cancel the run of this request; False when there is none."""
        ...

    def running(self) -> Sequence[RunningRun]:
        """Everything admitted and not ended, waiting runs included."""
        ...

    async def wait_change(self) -> None:
        """Return when a run has begun or ended since the call."""
        ...


class Gate(Protocol):
    """Whether Supabase knows this agent, and in which order things may be said to it (report/link.py)."""

    @property
    def accepted(self) -> bool:
        """Hello and the last beat were answered."""
        ...

    @property
    def claiming(self) -> bool:
        """Accepted, and the outbox has been drained since the last gap."""
        ...

    async def wait_accepted(self) -> None:
        """Return as soon as `accepted`."""
        ...

    async def wait_claiming(self) -> None:
        """Return as soon as `claiming`."""
        ...

    def lost(self) -> None:
        """A call could not reach the server: a gap begins; the beat tries again soon."""
        ...


class PauseState(Protocol):
    """Whether the project or this agent is paused (told by the beat)."""

    def paused(self, what: str) -> bool:
        """`what`: `schedule` or `claims`."""
        ...
