"""A home that looks lived in: jobs, a day of runs, agents in every state. For screenshots and for tests of whole pages.

Rows are written as a superuser, past the rules that stamp the present into them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from agent.model import Schedule, ScheduleKind
from agent.schedule.timetable import next_fire, slots_between
from tests.dashboard import showcase_notices

ZONE = "Europe/Berlin"
KEPT = 200
"""Runs of one job, at most: retention keeps no more."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A job and how its runs go."""

    job_id: str
    name: str
    cron: str | None = None
    instructions: str = ""
    agent: str = "mac-mini"
    seconds: float = 5.0
    """Usual duration; every run differs a little."""
    failing: float = 0.0
    """Share of runs that end with exit code 1."""
    slow: float = 0.0
    """Share of runs that take eight times as long."""
    columns: dict[str, Any] = field(default_factory=dict)
    """What else its row of the mirror says."""


JOBS = (
    Shown(
        job_id="nightly-backup", name="Nightly backup", cron="0 3 * * *", seconds=840,
        instructions="restic backup /data",
        columns={"tags": ["backup", "disk"], "description": "Everything under /data, to the box at my sister's."},
    ),
    Shown(
        job_id="sync-stats", name="Sync statistics", cron="*/15 * * * *", seconds=8, failing=0.06, slow=0.04,
        instructions="node sync.js && node totals.js", columns={"tags": ["api"]},
    ),
    Shown(
        job_id="health-check", name="Health check", cron="*/5 * * * *", seconds=0.4, failing=0.02, slow=0.02,
        instructions="GET https://status.example.com/healthz", columns={"tags": ["web"]},
    ),
    Shown(
        job_id="morning-brief", name="Morning brief", cron="30 6 * * *", seconds=95,
        instructions="claude -p 'Summarise my calendar and mail of today'", columns={"tags": ["ai"]},
    ),
    Shown(
        job_id="inbox-triage", name="Inbox triage", cron="*/30 8-20 * * *", seconds=41, failing=0.04, slow=0.05,
        instructions="claude -p 'Sort what came in, draft what is easy'", columns={"tags": ["ai"]},
    ),
    Shown(
        job_id="import-photos", name="Import photos", cron="10 * * * *", agent="studio", seconds=130, slow=0.08,
        instructions="python3 import.py --from /Volumes/Camera", columns={"tags": ["media"]},
    ),
    Shown(
        job_id="renew-certificates", name="Renew certificates", cron="17 4 * * *", seconds=12,
        instructions="certbot renew --quiet", columns={"tags": ["web"]},
    ),
    Shown(
        job_id="invoice-sync", name="Invoice sync", cron="0 7-21 * * *", seconds=22, failing=0.3,
        instructions="python3 -m invoices sync", columns={"tags": ["api", "money"]},
    ),
    Shown(
        job_id="mirror-podcasts", name="Mirror podcasts", cron="20 */2 * * *", agent="attic", seconds=210,
        instructions="podcast-dl --all", columns={"tags": ["media"]},
    ),
    Shown(
        job_id="vacuum-database", name="Vacuum database", cron="30 2 * * 0", seconds=300,
        instructions="psql -c 'vacuum analyze'", columns={"tags": ["disk"]},
    ),
    Shown(
        job_id="resize-image", name="Resize image", seconds=3, instructions="python3 resize.py",
        columns={
            "tags": ["media"],
            "accepts": json.dumps({
                "type": "object",
                "properties": {
                    "file": {"type": "string", "title": "File", "description": "Below ~/Pictures"},
                    "width": {"type": "integer", "minimum": 1, "default": 1200},
                    "format": {"enum": ["jpeg", "webp", "avif"], "default": "webp"},
                    "keep": {"type": "boolean", "title": "Keep the original", "default": True},
                },
                "required": ["file", "width"],
            }),
        },
    ),
    Shown(
        job_id="old-report", name="Old weekly report", cron="0 9 * * 1", instructions="make report",
        columns={"enabled": False},
    ),
)  # fmt: skip

COLUMNS = (
    "project_id",
    "job_id",
    "agent_id",
    "trigger",
    "scheduled_for",
    "status",
    "reason",
    "started_at",
    "finished_at",
    "request_id",
)
RUN = f"""
insert into cron_runs (id, {", ".join(COLUMNS)}, duration_ms, exit_code, output, error, created_at)
values (%s, {", ".join(["%s"] * len(COLUMNS))}, %s, %s, %s, %s, %s)
"""  # noqa: S608 - our own names


class Showcase:
    """Fills a project. Every day looks alike, apart from what the clock makes of it."""

    def __init__(self, dsn: str, project_id: str) -> None:
        self._dsn = dsn
        self._project = project_id
        self._random = random.Random(7)  # noqa: S311 - a picture, no secret
        self._now = datetime.now(UTC)
        self._live_request = self._id()
        self.live_run: UUID | None = None
        """The run that goes on, with live output."""

    def fill(self) -> None:
        """Everything; in one transaction, so that a page sees all of it or nothing."""
        with psycopg.connect(self._dsn) as db:
            db.execute("set session_replication_role = replica")  # past the triggers that stamp the present
            db.execute("insert into cron_projects (project_id) values (%s) on conflict do nothing", (self._project,))
            for job in JOBS:
                self._add_job(db, job)
                self._add_day(db, job)
            self._add_live_run(db)
            self._add_requests(db)
            self._add_agents(db)
            for table, columns in (
                *showcase_notices.connections(self._project, self._now),
                *showcase_notices.notices(self._project, self._now),
            ):
                _insert(db, table, columns)

    # ── jobs and their day ──────────────────────────────────────────────────

    def _add_job(self, db: psycopg.Connection[Any], job: Shown) -> None:
        schedule = _schedule(job)
        columns = {
            "project_id": self._project, "job_id": job.job_id, "name": job.name,
            "schedule_kind": "cron" if schedule else None, "schedule_expr": job.cron, "tz": ZONE if schedule else None,
            "next_run_at": next_fire(schedule, self._now) if schedule else None, "instructions": job.instructions,
            "agent_ids": [job.agent], "source": "yaml", "timeout_s": 1800, "overlap": "skip",
            "retry": json.dumps({"max_attempts": 2 if job.failing else 1, "on": ["exit_code", "timeout"]}),
            "updated_at": self._now - timedelta(seconds=20), "connection_id": showcase_notices.USED.get(job.job_id),
            **job.columns,
        }  # fmt: skip
        _insert(db, "cron_mirror", columns)

    def _add_day(self, db: psycopg.Connection[Any], job: Shown) -> None:
        schedule = _schedule(job)
        if schedule is None or job.columns.get("enabled") is False:
            return
        slots = slots_between(schedule, self._now - timedelta(hours=60), self._now, KEPT)
        last: tuple[datetime, str, int | None] | None = None
        failures = 0
        for slot in slots:
            status, took = self._add_slot(db, job, slot)
            if took is not None:
                last = (slot, status, took)
                failures = 0 if status == "ok" else failures + 1
        if last:
            db.execute(
                "update cron_mirror set last_run_at = %s, last_status = %s, last_duration_ms = %s, "
                "consecutive_failures = %s where project_id = %s and job_id = %s",
                (*last, failures, self._project, job.job_id),
            )

    def _add_slot(self, db: psycopg.Connection[Any], job: Shown, slot: datetime) -> tuple[str, int | None]:
        """One slot of the past: run, or missed while its machine was away. Its status and duration."""
        away = self._now - timedelta(hours=9), self._now - timedelta(hours=7, minutes=20)
        if job.agent == "attic" and slot > self._now - timedelta(hours=3):
            return "unknown", None  # nobody has told yet
        if away[0] < slot < away[1] and job.agent == "mac-mini":
            why = "Missed: the machine was asleep at this time."
            self._add_run(db, job, slot, "missed", reason="asleep", error=why)
            return "missed", None
        failed = self._random.random() < job.failing
        took = job.seconds * self._random.uniform(0.85, 1.2) * (8 if self._random.random() < job.slow else 1)
        output = f"{job.instructions}\n\x1b[32mdone\x1b[0m in {took:.1f} s\n"
        if failed:
            self._add_run(db, job, slot, "error", seconds=took, reason="exit_code", error="exit code 1", output=output)
        else:
            self._add_run(db, job, slot, "ok", seconds=took, output=output)
        return ("error" if failed else "ok"), int(took * 1000)

    def _add_run(
        self, db: psycopg.Connection[Any], job: Shown, slot: datetime, status: str, *, seconds: float | None = None,
        reason: str | None = None, error: str | None = None, output: str | None = None,
    ) -> None:  # fmt: skip
        began = slot + timedelta(seconds=self._random.uniform(0, 0.4)) if seconds is not None else None
        ended = min(began + timedelta(seconds=seconds), self._now) if began and seconds is not None else None
        took = int((ended - began).total_seconds() * 1000) if began and ended else None
        exit_code = None if took is None else int(status != "ok")
        db.execute(
            RUN,
            (
                self._id(), self._project, job.job_id, job.agent, "schedule", slot, status, reason, began, ended,
                None, took, exit_code, output, error, ended or slot,
            ),
        )  # fmt: skip

    def _add_live_run(self, db: psycopg.Connection[Any]) -> None:
        began = self._now - timedelta(minutes=1) + timedelta(milliseconds=58)
        self.live_run = self._id()
        db.execute(
            RUN,
            (
                self.live_run, self._project, "inbox-triage", "mac-mini", "request", None, "running", None, began, None,
                self._live_request, None, None, None, None, began,
            ),
        )  # fmt: skip
        for seq, line in enumerate(_OUTPUT):
            at = began + timedelta(seconds=4 * seq)
            piece = {"run_id": self.live_run, "seq": seq, "at": at, "stream": "stdout", "text": line}
            _insert(db, "cron_run_logs", piece)

    # ── requests and agents ─────────────────────────────────────────────────

    def _add_requests(self, db: psycopg.Connection[Any]) -> None:
        minutes = (
            ("resize-image", "done", 190, "mac-mini"), ("sync-stats", "done", 120, "mac-mini"),
            ("invoice-sync", "error", 64, "mac-mini"), ("resize-image", "done", 31, "mac-mini"),
            ("mirror-podcasts", "queued", 25, None), ("mirror-podcasts", "queued", 12, None),
            ("inbox-triage", "running", 1, "mac-mini"),
        )  # fmt: skip
        for job_id, status, ago, agent in minutes:
            asked = self._now - timedelta(minutes=ago)
            ended = asked + timedelta(seconds=9) if status in ("done", "error") else None
            result = {"ok": status == "done", "duration_ms": 8600, "agent_id": agent, "attempt": 1}
            if status == "error":
                result |= {"reason": "exit_code", "exit_code": 1, "error": "exit code 1"}
            _insert(
                db, "cron_run_requests",
                {
                    "id": self._live_request if status == "running" else self._id(),
                    "project_id": self._project, "job_id": job_id, "requested_by": "anna@example.com",
                    "requested_at": asked, "run_at": asked, "expires_at": asked + timedelta(hours=24), "status": status,
                    "picked_up_at": asked + timedelta(milliseconds=36) if agent else None, "completed_at": ended,
                    "claimed_by": agent, "attempts": int(agent is not None), "claims": int(agent is not None),
                    "result": json.dumps(result) if ended else None,
                },
            )  # fmt: skip

    def _add_agents(self, db: psycopg.Connection[Any]) -> None:
        outage = {
            "from": (self._now - timedelta(hours=9)).isoformat(timespec="seconds"),
            "to": (self._now - timedelta(hours=7, minutes=20)).isoformat(timespec="seconds"),
            "cause": "asleep", "slots_missed": 31, "requests_waiting": 1,
        }  # fmt: skip
        fault = 'config.yaml:31: jobs.import-photos.every: "15 minuts" is not a duration; try 15m'
        agents: Iterator[tuple[str, str, timedelta, dict[str, Any]]] = iter((
            ("mac-mini", "Mac mini", timedelta(seconds=4), {"realtime": "connected", "jobs": 9, "running": 1,
             "clock_skew_ms": 12, "info": {"tags": ["mac", "fast"], "last_outage": outage}}),
            ("studio", "Studio", timedelta(seconds=9), {"realtime": "polling", "jobs": 1, "clock_skew_ms": -7400,
             "config_error": fault, "info": {"tags": ["mac"]}}),
            ("attic", "Attic", timedelta(hours=3), {"realtime": "connected", "jobs": 1, "info": {"tags": []}}),
        ))  # fmt: skip
        for agent_id, name, silent, more in agents:
            columns = {
                "project_id": self._project, "agent_id": agent_id, "name": name, "version": "0.9.0", "epoch": 3,
                "hostname": f"{agent_id}.local", "platform": "Debian 12" if agent_id == "attic" else "macOS 26.1 arm64",
                "started_at": self._now - timedelta(days=6), "connected_since": self._now - timedelta(hours=7),
                "last_sync_at": self._now - max(silent, timedelta(seconds=20)), **more,
            }  # fmt: skip
            columns["info"] = json.dumps(columns["info"])
            _insert(db, "cron_agents", columns)
            seen = self._now - silent
            gone = seen if silent > timedelta(minutes=2) else None  # said already: no page has to
            beat = {
                "project_id": self._project, "agent_id": agent_id, "last_seen_at": seen, "offline_since": gone,
            }  # fmt: skip
            _insert(db, "cron_agent_beats", beat)

    def beat(self) -> None:
        """The agents that are there live on: a picture takes longer than they would be believed."""
        with psycopg.connect(self._dsn) as db:
            db.execute(
                "update cron_agent_beats set last_seen_at = now() where project_id = %s and agent_id <> 'attic'",
                (self._project,),
            )

    def begin_sign_in(self, person: UUID) -> None:
        """This admin has pressed Reconnect, and the agent has answered."""
        with psycopg.connect(self._dsn) as db:
            _insert(db, *showcase_notices.sign_in(self._project, self._now, person))

    def _id(self) -> UUID:
        return uuid4()


_OUTPUT = (
    "Reading \x1b[1m14\x1b[0m new messages\n",
    "\x1b[32m✓\x1b[0m newsletter.example — archived\n",
    "\x1b[32m✓\x1b[0m invoice 2026-117 — filed under Money\n",
    "\x1b[33m!\x1b[0m from the landlord — needs you\n",
    "\x1b[36mdrafting\x1b[0m answer 1 of 3…\n",
    "\x1b[36mdrafting\x1b[0m answer 2 of 3…\n",
)


def _schedule(job: Shown) -> Schedule | None:
    return Schedule(kind=ScheduleKind.CRON, expr=job.cron, timezone=ZONE) if job.cron else None


def _insert(db: psycopg.Connection[Any], table: str, columns: dict[str, Any]) -> None:
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    query = f"insert into {table} ({names}) values ({places})"  # noqa: S608 - our own names
    db.execute(query.encode(), list(columns.values()))
