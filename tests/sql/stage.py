"""The people and machines of the SQL tests: connections in a role as PostgREST makes them, and agents on top."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

PROJECT = "home-lab"
TYPES = {
    "p_instance": "uuid",
    "p_id": "uuid",
    "p_run_id": "uuid",
    "p_user_id": "uuid",
    "p_known": "uuid[]",
    "p_job_ids": "text[]",
    "p_ids": "text[]",
    "p_other_account_ok": "boolean",
    "p_statuses": "text[]",
    "p_triggers": "text[]",
    "p_since": "timestamptz",
    "p_run_at": "timestamptz",
    "p_until": "timestamptz",
    "p_scheduled_for": "timestamptz",
    "p_last_sync": "timestamptz",
    "p_seq": "bigint",
    "p_rev": "bigint",
}
JSON_ARGUMENTS = {"p_info", "p_running", "p_state", "p_changed", "p_reports", "p_batches", "p_payload", "p_before"}
JSON_ARGUMENTS |= {"p_connections", "p_answer", "p_notices", "p_deliveries"}


class Caller:
    """One connection. `role` None: the owner of the database, as in the SQL editor."""

    def __init__(self, dsn: str, role: str | None, user: UUID | None = None, email: str | None = None) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self.user = user
        self.sql(f"set session authorization {'hosted_owner' if role is None else 'authenticator'}")
        if role is not None:
            claims = {"role": role} | ({"sub": str(user)} if user else {}) | ({"email": email} if email else {})
            self.sql("select set_config('request.jwt.claims', %s, false)", json.dumps(claims))
            self.sql(f"set role {role}")

    def sql(self, text: str, *arguments: Any) -> list[dict[str, Any]]:
        """Run one statement; its rows."""
        cursor = self.connection.execute(text, arguments or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, text: str, *arguments: Any) -> Any:
        """The single value of a single row."""
        (row,) = self.sql(text, *arguments)
        (value,) = row.values()
        return value

    def rpc(self, name: str, **arguments: Any) -> Any:
        """Call a function by named arguments, like `POST /rest/v1/rpc/<name>`."""
        named = ", ".join(f"{key} => %s::{self._type(key)}" for key in arguments)
        values = [
            Jsonb(value) if key in JSON_ARGUMENTS and value is not None else value for key, value in arguments.items()
        ]
        return self.one(f"select public.{name}({named})", *values)  # names are the tests' own

    @staticmethod
    def _type(key: str) -> str:
        if key in JSON_ARGUMENTS:
            return "jsonb"
        integers = ("p_epoch", "p_limit", "p_lease_s", "p_days", "p_max_attempts", "p_each", "limit_count")
        return TYPES.get(key, "integer" if key in integers else "boolean" if key == "p_takeover" else "text")


@dataclass
class Agent:
    """An agent as the RPCs see it: remembers its epoch and claim sequence, nothing else."""

    caller: Caller
    id: str = "mac-mini"
    project: str = PROJECT
    instance: UUID = field(default_factory=uuid4)
    epoch: int = 0
    seq: int = 0
    rev: int = 0

    def call(self, name: str, **arguments: Any) -> Any:
        return self.caller.rpc(name, p_project=self.project, p_agent=self.id, p_epoch=self.epoch, **arguments)

    def hello(self, known: list[UUID] | None = None, *, takeover: bool = False, host: str = "mini.local") -> Any:
        """Said as the agent says it: again with the epoch that the server names."""
        answer = self.hello_once(known, takeover=takeover, host=host)
        if answer["status"] == "again":
            self.epoch = answer["epoch"]
            answer = self.hello_once(known, takeover=takeover, host=host)
        return answer

    def hello_once(self, known: list[UUID] | None = None, *, takeover: bool = False, host: str = "mini.local") -> Any:
        answer = self.call(
            "cron_agent_hello",
            p_instance=self.instance,
            p_info={"name": "Mac mini", "hostname": host, "version": "0.1.0", "platform": "darwin"},
            p_known=known or [],
            p_takeover=takeover,
        )
        if answer["status"] == "accepted":
            self.epoch, self.seq, self.rev = answer["epoch"], answer["claim_seq"], 0
        return answer

    def sync(self, *jobs: dict[str, Any], job_ids: list[str] | None = None, rev: int | None = None) -> Any:
        self.rev = rev or self.rev + 1
        return self.call("cron_sync_mirror", p_rev=self.rev, p_changed=list(jobs), p_job_ids=job_ids)

    def ready(self, *names: str, **job: Any) -> Agent:
        """Said hello, mirrored these jobs."""
        self.hello()
        self.sync(*[a_job(name, **job) for name in names])
        return self

    def claim(self, *jobs: str, limit: int = 10, seq: int | None = None, lease_s: int = 60) -> list[dict[str, Any]]:
        return self.claim_answer(*jobs, limit=limit, seq=seq, lease_s=lease_s)["rows"]

    def claim_answer(self, *jobs: str, limit: int = 10, seq: int | None = None, lease_s: int = 60) -> Any:
        self.seq = self.seq + 1 if seq is None else self.seq
        return self.call(
            "cron_claim_requests", p_seq=seq or self.seq, p_job_ids=list(jobs), p_limit=limit, p_lease_s=lease_s
        )

    def claim_notices(self, *ids: str) -> Any:
        call = "select public.cron_claim_notices(%s, %s, %s, %s::uuid[])"
        return self.caller.one(call, self.project, self.id, self.epoch, list(ids))

    def beat(self, *held: dict[str, Any], jobs: tuple[str, ...] = (), lease_s: int = 60, **state: Any) -> Any:
        running = [{"request_id": row["id"], "claims": row["claims"]} for row in held]
        return self.call("cron_agent_beat", p_running=running, p_state=state, p_job_ids=list(jobs), p_lease_s=lease_s)

    def report(self, *reports: dict[str, Any]) -> list[tuple[str, str | None]]:
        answer = self.call("cron_report", p_reports=list(reports))
        return [(result["outcome"], result["why"]) for result in answer["results"]]


def a_job(job_id: str, **more: Any) -> dict[str, Any]:
    """One of `p_changed`, with every key."""
    keys = ("schedule_kind", "schedule_expr", "tz", "next_run_at", "instructions", "source", "description", "tags")
    keys += ("accepts", "timeout_s", "overlap", "retry", "connection_id")
    return {"job_id": job_id, "name": job_id.title(), "enabled": True, "placement": "mine"} | dict.fromkeys(keys) | more


def a_report(claimed: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A final `ok` report, of a claimed request where one is given."""
    report = {
        "run_id": str(uuid4()),
        "job_id": "backup",
        "trigger": "schedule",
        "status": "ok",
        "attempt": 1,
        "started_at": "2026-03-01T12:00:00+00:00",
        "finished_at": "2026-03-01T12:00:05+00:00",
        "duration_ms": 5000,
        "exit_code": 0,
        "output": "done\n",
    }
    if claimed:
        report |= {"trigger": "request", "request_id": claimed["id"], "job_id": claimed["job_id"]}
        report |= {"claims": claimed["claims"], "attempt": claimed["attempts"]}
    return report | more


def a_notice(kind: str = "job_failed", subject: str = "job:backup", **more: Any) -> dict[str, Any]:
    """One of `p_notices`."""
    notice = {"id": str(uuid4()), "type": kind, "severity": "warning", "title": "Backup failed", "body": "exit code 1"}
    return notice | {"subject": subject, "at": "2026-03-01T12:00:00+00:00", "dedupe_key": str(uuid4())} | more


class Stage:
    """One database of a test: the owner, and whoever the test needs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._callers: list[Caller] = []
        self.owner = self.enter(None)

    def enter(self, role: str | None, user: UUID | None = None, email: str | None = None) -> Caller:
        caller = Caller(self._dsn, role, user, email)
        self._callers.append(caller)
        return caller

    def close(self) -> None:
        for caller in self._callers:
            caller.connection.close()

    @property
    def owner_dsn(self) -> str:
        """As a person would give it to `cronmirror migrate --db-url`."""
        return re.sub(r"//[^@]*@", "//hosted_owner:secret@", self._dsn)

    def superuser(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn, autocommit=True)

    def member(
        self, role: str, project: str = PROJECT, *, agent: str | None = None, email: str | None = None
    ) -> Caller:
        """A signed-in user with this role in the project."""
        user = uuid4()
        self.owner.rpc("cron_set_member", p_project=project, p_user_id=user, p_role=role, p_agent_id=agent)
        return self.enter("authenticated", user, email)

    def agent(self, agent_id: str = "mac-mini", project: str = PROJECT) -> Agent:
        """An agent with its own signed-in user."""
        return Agent(self.member("agent", project, agent=agent_id), agent_id, project)

    def ask(self, job: str = "backup", **more: Any) -> str:
        """Queue a request as a trusted caller; its id."""
        arguments = {"p_project": PROJECT, "p_job_id": job} | more
        return str(self.owner.rpc("cron_request_run", **arguments)["id"])

    def request(self, request_id: Any) -> dict[str, Any]:
        return self.owner.sql("select * from cron_run_requests where id = %s", request_id)[0]

    def run(self, run_id: Any) -> dict[str, Any] | None:
        rows = self.owner.sql("select * from cron_runs where id = %s", run_id)
        return rows[0] if rows else None

    def job(self, job_id: str) -> dict[str, Any]:
        return self.owner.sql("select * from cron_mirror where project_id = %s and job_id = %s", PROJECT, job_id)[0]

    # Time travel: the past is written, nobody waits for it.

    def silence(self, agent: Agent, seconds: int) -> None:
        """The agent was last heard of this long ago, and its leases have run on."""
        self.owner.sql(
            "update cron_agent_beats set last_seen_at = now() - make_interval(secs => %s) where agent_id = %s",
            seconds,
            agent.id,
        )
        self.owner.sql(
            "update cron_leases set expires_at = expires_at - make_interval(secs => %s) where agent_id = %s",
            seconds,
            agent.id,
        )

    def steady(self, agent: Agent, seconds: int) -> None:
        """The agent has been beating without a gap for this long."""
        self.owner.sql(
            "update cron_agent_beats set beating_since = now() - make_interval(secs => %s), last_seen_at = now() "
            "where agent_id = %s",
            seconds,
            agent.id,
        )

    def allow_sweep(self) -> None:
        """Ten seconds have passed since the last sweep."""
        self.owner.sql("update cron_projects set swept_at = swept_at - interval '10 seconds'")
