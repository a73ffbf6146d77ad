"""The configuration as the agent uses it: immutable values, everything resolved.

`check` and `exec` need no `supabase:`; `missing_for_run()` says what `run` lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent.errors import Problem
from agent.model import Connection, Job, NotifyRules, Thresholds


@dataclass(frozen=True, kw_only=True)
class SupabaseSettings:
    """Where the project is and as whom to sign in."""

    url: str
    """Without a trailing slash."""
    key: str | None = field(default=None, repr=False)
    email: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class SyncSettings:
    """Seconds between two mirrors, and between two polls while Realtime is down."""

    mirror_every_s: float = 45.0
    poll_every_s: float = 15.0


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """How many runs at once; `limits.output` is in every job."""

    concurrency: int = 4
    tags: Mapping[str, int] = field(default_factory=dict)
    """tag of jobs → how many runs of such jobs at the same time."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One valid configuration file."""

    project: str
    agent_id: str | None = None
    """None: `files.StateDir.agent_id` decides."""
    agent_name: str | None = None
    agent_tags: frozenset[str] = frozenset()
    """What `runs_on` of jobs is compared with."""
    supabase: SupabaseSettings | None = None
    sync: SyncSettings = field(default_factory=SyncSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    notify: NotifyRules = field(default_factory=NotifyRules)
    drain_timeout_s: float = 30.0
    accept: frozenset[str] = frozenset()
    connections: tuple[Connection, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    tokens_in_keyring: bool = False
    jobs: tuple[Job, ...] = ()
    """In file order."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """Every value of four characters or more that must not appear in output."""
    withheld_env: frozenset[str] = frozenset()
    """Variables of the agent's own environment that jobs must not inherit: they hold its credentials."""
    warnings: tuple[Problem, ...] = ()
    file: str = ""
    """The file's name as in messages."""

    def job(self, job_id: str) -> Job | None:
        """The job of that id, or None."""
        return next((job for job in self.jobs if job.id == job_id), None)

    def connection(self, connection_id: str) -> Connection | None:
        """The connection of that id, or None."""
        return next((each for each in self.connections if each.connection_id == connection_id), None)

    def lacking(self, job: Job) -> frozenset[str]:
        """Tags that `runs_on` wants and this agent has not: then the job is left to other agents."""
        return job.runs_on - self.agent_tags

    def missing_for_run(self) -> tuple[Problem, ...]:
        """What keeps this configuration from talking to Supabase; empty when nothing does."""
        if self.supabase is None:
            wanted = "is missing: `run` needs at least `url:` and `key:` of your Supabase project"
            return (Problem(file=self.file, path="supabase", message=wanted),)
        problems = []
        complaint = url_fault(self.supabase.url)
        if complaint:
            problems.append(Problem(file=self.file, path="supabase.url", message=complaint))
        if not self.supabase.key:
            wanted = "is missing: copy the publishable (anon) key from the project's API settings"
            problems.append(Problem(file=self.file, path="supabase.key", message=wanted))
        return tuple(problems)

    def restart_needed(self, newer: Config) -> tuple[str, ...]:
        """Names of the sections that differ in `newer` and are read only at the start of the agent."""
        pairs = {
            "project": (self.project, newer.project),
            "agent": (
                (self.agent_id, self.agent_name, self.agent_tags),
                (newer.agent_id, newer.agent_name, newer.agent_tags),
            ),
            "supabase": (self.supabase, newer.supabase),
            "sync": (self.sync, newer.sync),
            "tokens.store": (self.tokens_in_keyring, newer.tokens_in_keyring),
            "drain_timeout": (self.drain_timeout_s, newer.drain_timeout_s),
        }
        return tuple(name for name, (old, new) in pairs.items() if old != new)


def url_fault(url: str) -> str | None:
    """None when this can be a project's URL, else what is wrong with it and what to do."""
    example = "write it like https://your-project.supabase.co"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises ValueError where the port is no number
    except ValueError:
        return f"is not a URL; {example}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"is not an http(s) URL; {example}"
    if parts.username or parts.password:
        return "must not contain a user or password; use `email:` and `password:`"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return f"has something behind the host; write {parts.scheme}://{parts.netloc}"
    return None
