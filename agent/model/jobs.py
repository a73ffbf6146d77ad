"""Jobs: what can be run, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from agent.model.severity import PingUrls, Severity
from agent.model.value import Json, Value


class ScheduleKind(StrEnum):
    """How a schedule is written; the values of `cron_mirror.schedule_kind`."""

    CRON = "cron"
    EVERY = "every"
    AT = "at"
    STARTUP = "startup"


@dataclass(frozen=True, kw_only=True)
class Schedule(Value):
    """When a job runs by itself."""

    kind: ScheduleKind
    expr: str
    """`cron`: the expression as written (5 or 6 fields or an alias); `every`: the period in milliseconds as text;
    `at`: an ISO instant in UTC; `startup`: `@startup`. This is `cron_mirror.schedule_expr`."""
    timezone: str
    """IANA zone in which a cron expression is read."""
    every_s: float | None = None
    at: datetime | None = None
    dst_gap: Literal["run_after", "skip"] = "run_after"
    dst_fold: Literal["once", "twice"] = "once"


class Overlap(StrEnum):
    """What becomes of a run whose job is still running."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_PREVIOUS = "cancel_previous"
    ALLOW = "allow"


class Placement(StrEnum):
    """Who runs a job that several agents of the project declare; the values of `cron_mirror.placement`."""

    MINE = "mine"
    """One agent alone: a second one that declares the job is refused."""
    ANY = "any"
    """Shared: each slot and each request runs on exactly one of them; the database decides which."""


class WhenOffline(StrEnum):
    """What becomes of a slot of a shared job while Supabase cannot be asked who runs it."""

    MISS = "miss"
    """It is missed (`offline`) and caught up by policy."""
    RUN = "run"
    """It runs here, and perhaps elsewhere too."""


class CatchUp(StrEnum):
    """Which missed slots are run afterwards."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Retry(Value):
    """Whether and when a failed run is tried again. `max_attempts=1` means never."""

    max_attempts: int = 1
    on: frozenset[str] = frozenset({"exit_code", "timeout"})
    """Reasons (see `Reason`) after which another attempt is made."""
    exit_codes: frozenset[int] = frozenset()
    """With `exit_code` in `on`: only after these codes; empty: after any."""
    base_s: float = 30.0
    cap_s: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class HttpCall(Value):
    """An HTTP request in place of a process. Secrets are resolved, as in `Command.argv`."""

    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    """Sent as it is; what `json:` said is JSON by now, with its content type among `headers`."""
    expect: tuple[tuple[int, int], ...] = ((200, 299),)
    """Ranges of status codes, ends included, that count as success."""
    follow_redirects: bool = False


@dataclass(frozen=True, kw_only=True)
class PythonCall(Value):
    """A Python function in a subprocess."""

    module: str
    function: str
    """Dotted path inside the module."""
    args: tuple[Json, ...] = ()
    kwargs: Mapping[str, Json] = field(default_factory=dict)
    interpreter: str | None = None
    """Absolute path; None: the one that runs the agent."""


@dataclass(frozen=True, kw_only=True)
class Command(Value):
    """What to execute: exactly one of `argv` (no shell), `shell` (`/bin/sh -c`), `http` and `python`."""

    argv: tuple[str, ...] = field(default=(), repr=False)
    shell: str | None = None
    http: HttpCall | None = None
    python: PythonCall | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Added to the inherited environment; secrets are already resolved, here as in `argv`."""
    workdir: str | None = None
    """Absolute; `~` is already expanded. None: the home directory."""


@dataclass(frozen=True, kw_only=True)
class RunLimits(Value):
    """What the processes of a run may take; None: no limit of ours. Each holds per process, as POSIX has it."""

    memory_bytes: int | None = None
    """Address space (`RLIMIT_AS`)."""
    cpu_time_s: float | None = None
    """Seconds of CPU (`RLIMIT_CPU`)."""
    nice: int = 0
    """Added to the agent's own niceness, 0–19."""


@dataclass(frozen=True, kw_only=True)
class Job(Value):
    """A thing that can be run. Without a schedule it is a task type: it runs only on request."""

    id: str
    name: str
    command: Command
    schedule: Schedule | None = None
    description: str | None = None
    instructions: str | None = None
    """What it runs, for people, secrets redacted."""
    enabled: bool = True
    timeout_s: float = 600.0
    grace_s: float = 10.0
    """Between TERM and KILL."""
    overlap: Overlap = Overlap.SKIP
    retry: Retry = field(default_factory=Retry)
    catch_up: CatchUp = CatchUp.LAST
    catch_up_window_s: float = 86_400.0
    jitter_s: float = 0.0
    """A slot runs up to so many seconds after its instant; how many is a function of agent, job and slot."""
    concurrency: int | None = None
    """Runs of this job at a time, where `overlap` allows several; None: as many as there is room for."""
    placement: Placement = Placement.MINE
    when_offline: WhenOffline = WhenOffline.MISS
    runs_on: frozenset[str] = frozenset()
    """Tags of agents: an agent that lacks one of them leaves the job to others, as if it were not in its YAML."""
    limits: RunLimits = field(default_factory=RunLimits)
    connection: str | None = None
    """Id of the connection whose access token it gets."""
    payload_schema: Mapping[str, Json] | None = None
    """JSON Schema of the payload; None: the job takes no payload."""
    tags: tuple[str, ...] = ()
    output_limit: int = 65_536
    """Bytes kept of each of stdout and stderr, half from the head and half from the tail."""
    failure_tolerance: int = 0
    """So many failed runs in a row are nobody's concern yet."""
    severity: Severity = Severity.WARNING
    """How serious it is when the job fails or does not run."""
    ping: PingUrls = field(default_factory=PingUrls)
    line: int | None = None
    """Line of the YAML where the job begins, for messages."""
