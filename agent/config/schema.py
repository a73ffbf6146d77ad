"""Every key of the YAML: description, type, default and example, in one place.

From here come the errors, the JSON Schema for editors and docs/config.md. What depends on two keys at once is in
rules.py; what a value means to the agent is in build.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from agent.config.calls import Http, Python
from agent.config.connections import ConnectionSpec, TokenSpec
from agent.config.fields import (
    Argv,
    Cron,
    Duration,
    Folder,
    Id,
    Instant,
    Line,
    Prose,
    Script,
    Secret,
    Size,
    Texts,
    VariableName,
    VariableValue,
    Word,
    Zone,
)
from agent.config.notify import Notify, Ping
from agent.config.part import Part, option
from agent.model import CatchUp, Overlap, Placement, Reason, Severity, WhenOffline

RETRY_REASONS = (
    Reason.EXIT_CODE,
    Reason.TIMEOUT,
    Reason.SIGNAL,
    Reason.SPAWN_FAILED,
    Reason.HTTP_STATUS,
    Reason.HTTP_ERROR,
    Reason.LOST,
)

_OVERLAPS = tuple(each.value for each in Overlap)
_CATCH_UPS = tuple(each.value for each in CatchUp)
_PLACEMENTS = tuple(each.value for each in Placement)
_SEVERITIES = tuple(each.value for each in Severity)

Period = Annotated[float, Duration("1s")]
Timeout = Annotated[float, Duration("100ms", "30d")]
Grace = Annotated[float, Duration("0s", "10m")]
Window = Annotated[float, Duration("0s", "31d")]
Output = Annotated[int, Size(1024, 1024 * 1024)]
Jitter = Annotated[float, Duration("0s", "1d")]
Tag = Annotated[str, Line(50)]
Tolerance = Annotated[int, Field(ge=0, le=1000)]
AtOnce = Annotated[int, Field(ge=1, le=256)]
Env = dict[Annotated[str, VariableName()], Annotated[str, VariableValue()]]


class Agent(Part):
    """Who this agent is."""

    id: Annotated[str, Id()] | None = option(
        "Stable id of this agent within the project. Without it one is made from the host name, once, and kept.",
        example="mac-mini",
    )
    name: Annotated[str, Line(100)] | None = option("Name for people. Default: the id.", example="Mac mini, cellar")
    tags: list[Tag] = option("What this machine can do or has: see `runs_on`.", default=[], example=["gpu", "cellar"])


class Supabase(Part):
    """The Supabase project to talk to. `check` and `exec` do without; `run` needs it."""

    url: Annotated[str, Line()] = Field(
        description="The project's URL, without a path.", examples=["https://your-project.supabase.co"]
    )
    key: Annotated[str, Secret()] | None = option(
        "Publishable (anon) key. A secret or service key works but can do everything, so it is warned about.",
        example="${SUPABASE_PUBLISHABLE_KEY}",
    )
    email: Annotated[str, Line()] | None = option(
        "This agent's own user in Supabase Auth. Without it: the session stored by `cronmirror login`.",
        example="mac-mini@example.com",
    )
    password: Annotated[str, Secret()] | None = option(
        "That user's password. Without it: the session stored by `cronmirror login`.",
        example="${CRONMIRROR_PASSWORD}",
    )


class Sync(Part):
    """How often Supabase is talked to. The heartbeat is fixed (15 s)."""

    mirror_every: Annotated[float, Duration("30s", "60s")] = option(
        "How often jobs are mirrored into `cron_mirror`.", default="45s", example="45s"
    )
    poll_every: Annotated[float, Duration("1s", "1d")] = option(
        "How often requests are polled while Realtime is down.", default="15s", example="15s"
    )


class Limits(Part):
    """What the agent allows itself."""

    concurrency: AtOnce = option("How many runs at the same time, over all jobs.", default=4, example=4)
    tags: dict[Tag, AtOnce] = option(
        "How many runs at the same time of jobs that have this tag.", default={}, example={"media": 1}
    )
    output: Output = option(
        "How much is kept of each of stdout and stderr, half from the beginning and half from the end.",
        default="64KiB",
        example="64KiB",
    )


class Dst(Part):
    """What a cron schedule does when clocks are changed. Only schedules at fixed hours are concerned."""

    gap: Annotated[str, Word(("run_after", "skip"))] | None = option(
        "For a time that does not exist that day. Default: `run_after`, at the first instant after the gap.",
        example="run_after",
    )
    fold: Annotated[str, Word(("once", "twice"))] | None = option(
        "For a time that comes twice that day. Default: `once`, the first.", example="once"
    )


class Retry(Part):
    """Whether a failed run is tried again, with `min(cap, base·2^(n-1))` and full jitter in between."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = option(
        "Attempts in all. Default: 1, a run that began is never begun again.", example=3
    )
    on: list[Annotated[str, Word(tuple(each.value for each in RETRY_REASONS))]] | None = option(
        "After which failures. Default: `[exit_code, timeout]`. In an `http` job `exit_code` stands for both "
        "`http_status` (an unexpected status) and `http_error` (no whole answer).",
        example=["exit_code", "timeout"],
    )
    exit_codes: list[Annotated[int, Field(ge=1, le=255)]] | None = option(
        "Of the failures by `exit_code`, only those with one of these codes. Default: any code.", example=[75, 111]
    )
    base: Annotated[float, Duration("0s", "1d")] | None = option("First wait. Default: `30s`.", example="30s")
    cap: Annotated[float, Duration("0s", "7d")] | None = option("Longest wait. Default: `1h`.", example="1h")


class JobLimits(Part):
    """What one job is allowed. `memory` and `cpu_time` hold for each process of it, children included."""

    output: Output | None = option("See `limits.output`, which is the default.", example="256KiB")
    memory: Annotated[int, Size(16 * 2**20, 2**40)] | None = option(
        "Address space (`RLIMIT_AS`), of which node, java and go reserve far more than they use. Not on macOS.",
        example="512MiB",
    )
    cpu_time: Annotated[float, Duration("1s", "30d")] | None = option(
        "Seconds of CPU, rounded up: then SIGXCPU, and KILL 5 s later.", example="5m"
    )
    nice: Annotated[int, Field(ge=0, le=19)] | None = option("How much less urgent than the agent it is.", example=10)


class Defaults(Part):
    """What holds for every job that does not say otherwise."""

    timezone: Annotated[str, Zone()] | None = option(
        "In which cron expressions and `at` are read. Default: the machine's zone.", example="Europe/Berlin"
    )
    timeout: Timeout = option("After which a run is ended.", default="10m", example="10m")
    grace: Grace = option("Between asking a run to end (TERM) and killing it.", default="10s", example="10s")
    overlap: Annotated[str, Word(_OVERLAPS)] = option(
        "What a scheduled run does while the job is still running.", default="skip", example="skip"
    )
    catch_up: Annotated[str, Word(_CATCH_UPS)] = option(
        "Which slots missed while asleep, off or busy are run afterwards.", default="last", example="last"
    )
    catch_up_window: Window = option("How old a missed slot may be to be caught up.", default="24h", example="24h")
    jitter: Jitter = option(
        "Slots run up to so much later, so that not everything happens at once. How much is always the same for the "
        "same agent, job and slot.",
        default="0s",
        example="5m",
    )
    placement: Annotated[str, Word(_PLACEMENTS)] = option(
        "Who runs a job that several agents of the project have in their files. `mine`: one agent alone, a second one "
        "is refused. `any`: each slot and each request runs on exactly one of them, whichever takes it first.",
        default="mine",
        example="any",
    )
    retry: Retry | None = option("Retries.", example={"max_attempts": 2})
    limits: JobLimits | None = option("What a job is allowed.", example={"nice": 5})
    dst: Dst | None = option("Clock changes.", example={"gap": "skip"})
    failure_tolerance: Tolerance = option(
        "So many failed runs in a row are not worth a notice; the next one is.", default=0, example=2
    )
    env: Env = option(
        "Environment variables; a job's own win. Values from outside count as secrets and are redacted from output.",
        default={},
        example={"LANG": "C.UTF-8"},
    )
    workdir: Annotated[str, Folder()] | None = option(
        "Where commands run. Default: the home directory.", example="~/apps"
    )


class RunsOn(Part):
    """Which agents run a job. The others leave it alone, as if it were not in their files."""

    tags: list[Tag] = option("Every one of these must be among `agent.tags`.", default=[], example=["gpu"])


class JobSpec(Part):
    """One job. Its key is its id. Without `schedule`, `every` and `at` it is a task type: it runs only on request."""

    name: Annotated[str, Line()] | None = option("Name for people. Default: the id.", example="Nightly backup")
    description: Annotated[str, Prose()] | None = option("What it is for, for people.", example="Backs up /data.")
    instructions: Annotated[str, Prose()] | None = option(
        "What it runs, for people. Default: the command as written in this file.", example="restic backup /data"
    )
    enabled: bool = option("A disabled job is shown and never run.", default=True, example=False)
    schedule: Annotated[str, Cron()] | None = option(
        "Cron expression of 5 fields (or 6, seconds first), `@hourly`, `@daily`, `@midnight`, `@weekly`, "
        "`@monthly`, `@yearly`, `@annually`, or `@startup`. Quote it.",
        example="0 3 * * *",
    )
    every: Period | None = option("Period, whatever the clock says.", example="15m")
    at: Annotated[datetime, Instant()] | None = option("Once, at this time.", example="2026-12-24T18:00")
    timezone: Annotated[str, Zone()] | None = option("See `defaults.timezone`.", example="Europe/Berlin")
    dst: Dst | None = option("See `defaults.dst`.", example={"fold": "twice"})
    run: Annotated[list[str], Argv()] | None = option(
        "Program and arguments, started without a shell. `${NAME}` is filled in, but `ps` shows it: prefer `env`.",
        example=["restic", "backup", "/data"],
    )
    shell: Annotated[str, Script()] | None = option(
        "Script for `/bin/sh -c`. `${NAME}` in it is the shell's; secrets reach it through `env`.",
        example="node sync.js && node totals.js",
    )
    http: Http | None = option(
        "An HTTP request.", example={"method": "POST", "url": "https://example.com/hook", "json": {"dry_run": False}}
    )
    python: Python | None = option("A Python function.", example="reports.daily:send")
    env: Env = option("See `defaults.env`.", default={}, example={"API_KEY": "${STATS_KEY}"})
    workdir: Annotated[str, Folder()] | None = option("See `defaults.workdir`.", example="~/apps/stats")
    timeout: Timeout | None = option("See `defaults.timeout`.", example="2m")
    grace: Grace | None = option("See `defaults.grace`.", example="30s")
    overlap: Annotated[str, Word(_OVERLAPS)] | None = option("See `defaults.overlap`.", example="queue")
    catch_up: Annotated[str, Word(_CATCH_UPS)] | None = option("See `defaults.catch_up`.", example="none")
    catch_up_window: Window | None = option("See `defaults.catch_up_window`.", example="6h")
    jitter: Jitter | None = option("See `defaults.jitter`.", example="5m")
    concurrency: AtOnce | None = option(
        "How many runs of this job at the same time; for `overlap: queue` and `allow`. Default: one with `queue`, as "
        "many as there is room for with `allow`.",
        example=2,
    )
    placement: Annotated[str, Word(_PLACEMENTS)] | None = option("See `defaults.placement`.", example="any")
    when_offline: Annotated[str, Word(tuple(each.value for each in WhenOffline))] | None = option(
        "What a slot of a job with `placement: any` does while Supabase cannot be asked who runs it. Default: `miss`, "
        "it is missed and caught up. `run`: it runs, perhaps on several agents.",
        example="run",
    )
    runs_on: RunsOn | None = option("Which agents run it.", example={"tags": ["gpu"]})
    retry: Retry | None = option("See `defaults.retry`; key by key.", example={"max_attempts": 3})
    payload: dict[str, Any] | None = option(
        "JSON Schema (2020-12) of what a request may send along, as `CRONMIRROR_PAYLOAD` (a file) and stdin; as the "
        "body of an `http` job, as the argument `payload` of a `python` one. "
        "Without it the job takes no payload. Nothing is filled in here.",
        example={"type": "object", "properties": {"width": {"type": "integer", "minimum": 1}}},
    )
    connection: Annotated[str, Id()] | None = option(
        "Connection whose access token it gets, fresh, in the variable that the connection names (an `http` job: as "
        "its `Authorization`). While the connection needs a new sign-in, the job is held.",
        example="google-drive",
    )
    tags: list[Tag] = option("For finding jobs in a page, and for `limits.tags`.", default=[], example=["media"])
    failure_tolerance: Tolerance | None = option("See `defaults.failure_tolerance`.", example=2)
    severity: Annotated[str, Word(_SEVERITIES)] = option(
        "How serious it is when the job fails or does not run: see `notify`. `critical` also goes to e-mail, at once.",
        default="warning",
        example="critical",
    )
    ping: Ping | None = option(
        "What is asked for when a run begins and ends, for a watchman elsewhere. Secrets.",
        example="https://hc-ping.com/your-uuid",
    )
    limits: JobLimits | None = option("See `defaults.limits`; key by key.", example={"memory": "512MiB"})


class Settings(Part):
    """The whole file."""

    project: Annotated[str, Line(100)] = Field(
        description="The project all of this belongs to: `project_id` in the database.", examples=["home-lab"]
    )
    agent: Agent | None = option("Who this agent is.", example={"id": "mac-mini"})
    supabase: Supabase | None = option(
        "The Supabase project to talk to.", example={"url": "https://your-project.supabase.co"}
    )
    env_file: Annotated[list[str], Texts()] = option(
        "File or files with `NAME=value` lines for `${NAME}`, relative to this file, `chmod 600`. "
        "They are not handed to jobs.",
        default=[],
        example="secrets.env",
    )
    sync: Sync = option("How often Supabase is talked to.", default={}, example={"poll_every": "10s"})
    limits: Limits = option("What the agent allows itself.", default={}, example={"concurrency": 4})
    drain_timeout: Annotated[float, Duration("0s", "1d")] = option(
        "How long running jobs may go on after the agent was told to stop.", default="30s", example="30s"
    )
    accept: list[Annotated[str, Word(("open_access",))]] = option(
        "Risks you know about and accept. `open_access`: the project is open to the anon key.",
        default=[],
        example=["open_access"],
    )
    notify: Notify | None = option(
        "Who is told when something changes its state.", example={"channels": {"phone": "ntfy://your-topic"}}
    )
    defaults: Defaults = option(
        "What holds for every job that does not say otherwise.", default={}, example={"timeout": "10m"}
    )
    connections: dict[Annotated[str, Id()], ConnectionSpec] = option(
        "OAuth logins that are kept fresh for jobs, by id.",
        default={},
        example={"google-drive": {"provider": "google", "client_id": "my-client"}},
    )
    tokens: TokenSpec = option("How the tokens of connections are kept.", default={}, example={"store": "keyring"})
    jobs: dict[Annotated[str, Id()], JobSpec] = option(
        "The jobs, by id.", default={}, example={"hello": {"every": "1h", "run": ["echo", "hello"]}}
    )
