"""The agent's RPCs (docs/rpc.md) as the ports that the stages call.

Holds who we are (project, agent, epoch); knows no retry beyond what `rpc.Database` does: that is the callers' business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from agent.adapters.supabase import wire
from agent.adapters.supabase.rpc import Database
from agent.errors import HelloRefused, SchemaMissing, Superseded, Unreachable
from agent.model import (
    AgentState,
    BeatReply,
    Claimed,
    ConnectionsReply,
    DeliveriesJson,
    Hello,
    HelloReply,
    Json,
    LogPiece,
    MirrorReply,
    MirrorSync,
    Notice,
    NoticeVerdict,
    OutboxEntry,
    ReconnectAnswer,
    RunningRun,
    Standing,
    Verdict,
)

T = TypeVar("T")

HELLO_TRIES = 3
"""The server names the epoch to ask with. It has moved on again only where a hello of before has just arrived."""


class Rest:
    """The calls of `agent.ports.supabase` for one agent.

    Every method raises `Unreachable`, `SessionExpired`, `NeedsSignIn`, `Superseded`, `SchemaMissing` or `Refused`.
    """

    def __init__(self, database: Database, *, project: str, agent_id: str, lease_s: int = 60) -> None:
        self._database = database
        self._project = project
        self._agent_id = agent_id
        self._lease_s = lease_s
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """The one of the last accepted hello; 0 before."""
        return self._epoch

    async def hello(self, hello: Hello) -> HelloReply:
        """Become the agent. Raises also `HelloRefused`; afterwards every call carries the new epoch.

        A hello names the epoch that it replaces, so that one which arrives after its own repetition changes nothing.
        """
        epoch = self._epoch
        for _ in range(HELLO_TRIES):
            body = await self._greet(hello, epoch)
            if body.get("status") != "again":
                break
            epoch = _read("cron_agent_hello", lambda answer: int(answer["epoch"]), body)
        else:
            raise Unreachable("cron_agent_hello: somebody else says hello as this agent at the same time.")
        if body.get("status") == "refused":
            hostname = str(body.get("hostname") or "another machine")
            seen = body.get("last_seen_at")
            said = f"Another agent named {self._agent_id!r} is alive on {hostname} (last seen {seen})."
            hint = "Give this one another agent.id, or run `cronmirror run --takeover` to replace the other."
            raise HelloRefused(said, hostname=hostname, hint=hint)
        reply = _read("cron_agent_hello", wire.hello_reply, body)
        self._epoch = reply.epoch
        return reply

    async def beat(self, running: Sequence[RunningRun], state: AgentState, job_ids: Sequence[str]) -> BeatReply:
        """Liveness, lease renewal, and the news."""
        body = await self._call(
            "cron_agent_beat",
            p_running=wire.running_list(running),
            p_state=wire.agent_state(state),
            p_job_ids=list(job_ids),
            p_lease_s=self._lease_s,
        )
        return _read("cron_agent_beat", wire.beat_reply, body)

    async def claim(self, seq: int, job_ids: Sequence[str], limit: int, lease_s: int) -> Claimed:
        """Up to `limit` due requests; the same `seq` again returns the same rows."""
        body = await self._call(
            "cron_claim_requests", p_seq=seq, p_job_ids=list(job_ids), p_limit=limit, p_lease_s=lease_s
        )
        return _read("cron_claim_requests", wire.claimed, body)

    async def claim_slot(self, job_id: str, scheduled_for: datetime, run_id: UUID) -> str | None:
        """None: the slot is ours; else the agent that has it."""
        body = await self._call(
            "cron_claim_slot", p_job_id=job_id, p_scheduled_for=wire.instant(scheduled_for), p_run_id=str(run_id)
        )
        return _read("cron_claim_slot", wire.slot_winner, body)

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        """Starts and finishes; by seq, one answer per entry."""
        body = await self._call("cron_report", p_reports=[wire.report(entry) for entry in entries])
        return _read("cron_report", lambda answer: wire.verdicts(answer, entries), body)

    async def append_logs(self, pieces: Sequence[LogPiece]) -> frozenset[UUID]:
        """Live output; the runs of which the server knows nothing (yet)."""
        body = await self._call("cron_append_logs", p_batches=[wire.log_piece(piece) for piece in pieces])
        return _read("cron_append_logs", wire.unknown_runs, body)

    async def sync(self, sync: MirrorSync) -> MirrorReply:
        """What changed; the server ignores a `rev` that it has seen."""
        body = await self._call(
            "cron_sync_mirror",
            p_rev=sync.rev,
            p_changed=[wire.mirror_row(row) for row in sync.changed],
            p_job_ids=None if sync.job_ids is None else list(sync.job_ids),
        )
        return _read("cron_sync_mirror", wire.mirror_reply, body)

    async def notify(self, notices: Sequence[Notice]) -> Mapping[UUID, NoticeVerdict]:
        """Put them into the project's list; by id."""
        body = await self._call("cron_notify", p_notices=[wire.notice(each) for each in notices])
        return _read("cron_notify", wire.notice_verdicts, body)

    async def claim_notices(self, ids: Collection[UUID]) -> Sequence[Notice]:
        """Notices that the database raised and nobody brings to any channel: ours for ten minutes."""
        body = await self._call("cron_claim_notices", p_ids=[str(each) for each in ids])
        return _read("cron_claim_notices", wire.notices, body)

    async def delivered(self, deliveries: Mapping[UUID, DeliveriesJson]) -> None:
        """How far they got, by id and channel."""
        shown = {str(notice_id): dict(channels) for notice_id, channels in deliveries.items()}
        await self._call("cron_delivered", p_deliveries=shown)

    async def report_connections(self, standings: Sequence[Standing], ids: Sequence[str]) -> ConnectionsReply:
        """How these connections stand, and all that there are; what people ask of them."""
        body = await self._call(
            "cron_report_connections", p_connections=[wire.standing(each) for each in standings], p_ids=list(ids)
        )
        return _read("cron_report_connections", wire.connections_reply, body)

    async def answer_reconnect(self, request_id: UUID, answer: ReconnectAnswer) -> bool:
        """Where to sign in, or how it ended; False where it is over already."""
        body = await self._call("cron_reconnect_answer", p_id=str(request_id), p_answer=wire.reconnect_answer(answer))
        return body.get("outcome") == "accepted"

    async def take_code(self, request_id: UUID) -> str | None:
        """The code, once: the call is not repeated by itself."""
        body = await self._call("cron_reconnect_take", repeatable=False, p_id=str(request_id))
        return _read("cron_reconnect_take", wire.code, body)

    async def _greet(self, hello: Hello, epoch: int) -> dict[str, Json]:
        return await self._call(
            "cron_agent_hello",
            p_epoch=epoch,
            p_instance=str(hello.instance),
            p_info=dict(hello.info),
            p_known=_texts(hello.known),
            p_takeover=hello.takeover,
        )

    async def _call(self, name: str, *, repeatable: bool = True, **args: Json) -> dict[str, Json]:
        who = {"p_project": self._project, "p_agent": self._agent_id, "p_epoch": self._epoch}
        body = await self._database.rpc(name, {**who, **args}, repeatable=repeatable)
        if body.get("superseded") is True:
            theirs = body.get("epoch")
            said = f"Another process is agent {self._agent_id!r} now (epoch {theirs}, ours is {self._epoch})."
            raise Superseded(said, hint="Two agents need two agent.id; stop one of them.")
        return body


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _read(name: str, reader: Callable[[dict[str, Json]], T], body: dict[str, Json]) -> T:
    try:
        return reader(body)
    except (KeyError, ValueError, TypeError, AttributeError) as err:
        said = f"{name} answered in a shape that this version does not know ({type(err).__name__}: {err})."
        raise SchemaMissing(said, hint="Run `cronmirror migrate`, or update Cronmirror.") from err
