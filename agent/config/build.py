"""Valid settings → Config: defaults applied, paths and instants resolved, texts for people made.

What is odd but allowed becomes a warning here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from agent.config.commands import Commands
from agent.config.config import Config, LimitSettings, SupabaseSettings, SyncSettings, url_fault
from agent.config.connections import connection_of, thresholds_of
from agent.config.cron import STARTUP
from agent.config.notify import ping_of, rules_of
from agent.config.resolve import Resolution
from agent.config.schema import Defaults, JobLimits, JobSpec, Retry, Settings, Supabase
from agent.config.tree import Node, Path, dotted
from agent.errors import Problem
from agent.model import CatchUp, Job, Overlap, Placement, RunLimits, Schedule, ScheduleKind, Severity, WhenOffline
from agent.model import Retry as RetryRule

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the file does not say."""

    file: str
    now: datetime
    """Aware; `at` is compared with it."""
    home: str
    """Absolute home directory, for `~` and as default workdir."""
    timezone: str
    """The machine's IANA zone: the default of `defaults.timezone`."""
    memory_limits: bool = True
    """Whether the memory of a process can be limited here."""


@dataclass(kw_only=True)
class Builder:
    """One configuration in the making."""

    settings: Settings
    tree: Node
    resolution: Resolution
    around: Surroundings
    warnings: list[Problem] = field(default_factory=list)

    def config(self) -> Config:
        """The finished configuration. The settings must be free of faults."""
        settings, agent = self.settings, self.settings.agent
        commands = Commands(
            tree=self.tree, resolution=self.resolution, defaults=settings.defaults, home=self.around.home
        )
        jobs = tuple(self._job(job_id, spec, commands) for job_id, spec in settings.jobs.items())
        self._doubt(jobs)
        supabase = self._supabase(settings.supabase) if settings.supabase else None
        return Config(
            project=settings.project,
            agent_id=agent.id if agent else None,
            agent_name=agent.name if agent else None,
            agent_tags=frozenset(agent.tags if agent else ()),
            supabase=supabase,
            sync=SyncSettings(mirror_every_s=settings.sync.mirror_every, poll_every_s=settings.sync.poll_every),
            limits=LimitSettings(concurrency=settings.limits.concurrency, tags=settings.limits.tags),
            notify=rules_of(settings.notify, timezone=settings.defaults.timezone or self.around.timezone),
            drain_timeout_s=settings.drain_timeout,
            accept=frozenset(settings.accept),
            connections=tuple(connection_of(each, spec) for each, spec in settings.connections.items()),
            thresholds=thresholds_of(settings.tokens),
            tokens_in_keyring=settings.tokens.store == "keyring",
            jobs=jobs,
            secrets=frozenset(self.resolution.secrets),
            withheld_env=frozenset(self.resolution.withheld),
            warnings=tuple(self.warnings),
            file=self.around.file,
        )

    def _job(self, job_id: str, spec: JobSpec, commands: Commands) -> Job:
        defaults, path = self.settings.defaults, ("jobs", job_id)
        own, common = spec.limits or JobLimits(), defaults.limits or JobLimits()
        return Job(
            id=job_id,
            name=spec.name or job_id,
            description=spec.description,
            instructions=commands.instructions(path, spec),
            enabled=spec.enabled,
            command=commands.command(spec),
            schedule=self._schedule(path, spec),
            timeout_s=_first(spec.timeout, defaults.timeout),
            grace_s=_first(spec.grace, defaults.grace),
            overlap=Overlap(_first(spec.overlap, defaults.overlap)),
            retry=_retry(spec, defaults),
            catch_up=CatchUp(_first(spec.catch_up, defaults.catch_up)),
            catch_up_window_s=_first(spec.catch_up_window, defaults.catch_up_window),
            jitter_s=_first(spec.jitter, defaults.jitter),
            concurrency=spec.concurrency,
            placement=Placement(_first(spec.placement, defaults.placement)),
            when_offline=WhenOffline(_first(spec.when_offline, WhenOffline.MISS)),
            runs_on=frozenset(spec.runs_on.tags if spec.runs_on else ()),
            connection=spec.connection,
            payload_schema=spec.payload,
            tags=tuple(spec.tags),
            limits=RunLimits(
                memory_bytes=_first(own.memory, common.memory),
                cpu_time_s=_first(own.cpu_time, common.cpu_time),
                nice=_first(own.nice, common.nice, 0),
            ),
            output_limit=_first(own.output, common.output, self.settings.limits.output),
            failure_tolerance=_first(spec.failure_tolerance, defaults.failure_tolerance),
            severity=Severity(spec.severity),
            ping=ping_of(spec.ping),
            line=self.tree.line_of(path),
        )

    def _doubt(self, jobs: tuple[Job, ...]) -> None:
        """Warn about what cannot be meant so."""
        if not jobs:
            self._warn(("jobs",), "there are no jobs yet")
        used = {tag for job in jobs for tag in job.tags}
        for tag in self.settings.limits.tags:
            if tag not in used:
                self._warn(("limits", "tags", tag), "limits nothing: no job has this tag")
        for name, channel in (self.settings.notify.channels if self.settings.notify else {}).items():
            for tag in channel.tags:
                if tag not in used:
                    self._warn(("notify", "channels", name, "tags"), f"no job has the tag {tag}")

        named = {job.connection for job in jobs}
        for connection_id in self.settings.connections:
            if connection_id not in named:
                self._warn(("connections", connection_id), "no job uses it; name it with `connection:` in a job")

    def _schedule(self, path: Path, spec: JobSpec) -> Schedule | None:
        zone = _first(spec.timezone, self.settings.defaults.timezone, self.around.timezone)
        own, common = spec.dst, self.settings.defaults.dst
        gap = _first(own and own.gap, common and common.gap, "run_after")
        fold = _first(own and own.fold, common and common.fold, "once")

        def schedule(
            kind: ScheduleKind, expr: str, every_s: float | None = None, at: datetime | None = None
        ) -> Schedule:
            return Schedule(kind=kind, expr=expr, timezone=zone, every_s=every_s, at=at, dst_gap=gap, dst_fold=fold)

        if spec.schedule is not None:
            kind = ScheduleKind.STARTUP if spec.schedule == STARTUP else ScheduleKind.CRON
            return schedule(kind, spec.schedule)
        if spec.every is not None:
            return schedule(ScheduleKind.EVERY, str(round(spec.every * 1000)), every_s=spec.every)
        if spec.at is not None:
            at = self._instant((*path, "at"), spec.at, zone)
            return schedule(ScheduleKind.AT, at.isoformat(), at=at)
        return None

    def _instant(self, path: Path, at: datetime, zone: str) -> datetime:
        """In UTC. A time that comes twice is the first one; one that does not exist is read with the old offset."""
        local = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
        instant = local.astimezone(UTC)
        back = instant.astimezone(local.tzinfo)
        if back.replace(tzinfo=None) != local.replace(tzinfo=None):
            self._warn(path, f"{at:%Y-%m-%d %H:%M} does not exist in {zone}; it is taken as {back:%H:%M}")
        if instant < self.around.now:
            self._warn(path, f"{at:%Y-%m-%d %H:%M} is in the past: it will not run unless it is caught up")
        return instant

    def _supabase(self, supabase: Supabase) -> SupabaseSettings:
        url = supabase.url.rstrip("/")
        complaint = url_fault(url)
        if complaint:  # only where the value came from outside: loader.py refuses what is written in the file
            self._warn(("supabase", "url"), f"{complaint}; `run` will refuse it")
        elif urlsplit(url).scheme == "http" and urlsplit(url).hostname not in _LOOPBACK:
            self._warn(("supabase", "url"), "is not https: the password and all output travel unencrypted")
        if supabase.key and _is_secret_key(supabase.key):
            self._warn(
                ("supabase", "key"),
                "is a secret (service_role) key, which may do everything in the project; "
                "use the publishable key and an `email:` and `password:` of the agent's own",
            )
        return SupabaseSettings(url=url, key=supabase.key, email=supabase.email, password=supabase.password)

    def _warn(self, path: Path, message: str) -> None:
        around = self.around
        self.warnings.append(
            Problem(file=around.file, line=self.tree.line_of(path), path=dotted(path), message=message)
        )


def _retry(spec: JobSpec, defaults: Defaults) -> RetryRule:
    """Key by key: the job's, else the defaults', else the built-in one."""
    own, common, rule = spec.retry or Retry(), defaults.retry or Retry(), RetryRule()
    reasons: Iterable[str] = _first(own.on, common.on, rule.on)
    return RetryRule(
        max_attempts=_first(own.max_attempts, common.max_attempts, rule.max_attempts),
        on=frozenset(reasons),
        exit_codes=frozenset(_first(own.exit_codes, common.exit_codes, rule.exit_codes)),
        base_s=_first(own.base, common.base, rule.base_s),
        cap_s=_first(own.cap, common.cap, rule.cap_s),
    )


def _first(*values: Any) -> Any:
    """The first that is not None."""
    return next((value for value in values if value is not None), None)


def _is_secret_key(key: str) -> bool:
    """`sb_secret_…`, or a legacy JWT whose role is service_role."""
    if key.startswith("sb_secret_"):
        return True
    parts = key.split(".")
    if len(parts) != 3:  # noqa: PLR2004  # a JWT has three parts (RFC 7519)
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return False
    return isinstance(claims, dict) and claims.get("role") == "service_role"
