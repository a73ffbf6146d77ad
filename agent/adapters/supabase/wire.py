"""Our values as the JSON of docs/rpc.md, and its answers as our values. Pure.

Writers give exactly the contract's keys; readers ignore keys they do not know and raise `ValueError`, `TypeError` or
`KeyError` where a promised one is missing or of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from agent.model import (
    AgentState,
    BeatReply,
    Claimed,
    ConnectionsReply,
    HelloReply,
    Json,
    LogPiece,
    MirrorReply,
    MirrorRow,
    Notice,
    NoticeType,
    NoticeVerdict,
    OutboxEntry,
    Pause,
    ReconnectAnswer,
    ReconnectRequest,
    ReconnectStatus,
    Report,
    Request,
    RunningRun,
    Severity,
    Shared,
    Standing,
    Verdict,
    VerdictKind,
    WaitingNotice,
)

OUTPUT_KEYS: Final = frozenset({"stdout_tail", "stderr_tail", "error"})
"""Of `result`: what a job printed, given up together with the report's output."""

BITS: Final = 63

Body = Mapping[str, Json]


# ── values → JSON ────────────────────────────────────────────────────────────


def instant(value: datetime | None) -> str | None:
    """ISO 8601 in UTC."""
    return None if value is None else value.astimezone(UTC).isoformat()


def running_list(running: Sequence[RunningRun]) -> list[Json]:
    """`p_running` of a beat: only runs that have a request hold a lease."""
    return [
        {"request_id": str(run.request_id), "claims": run.claims}
        for run in running
        if run.request_id is not None and run.claims is not None
    ]


def agent_state(state: AgentState) -> dict[str, Json]:
    """`p_state` of a beat."""
    known = {} if state.known is None else {"known": [str(each) for each in state.known]}
    return {
        "state": state.state,
        "realtime": state.realtime,
        "running": state.running,
        "jobs": state.jobs,
        "config_error": state.config_error,
        "clock_skew_ms": state.clock_skew_ms,
        "probe": state.probe,
        "paused": None if state.pause is None else {"mode": state.pause.mode, "until": instant(state.pause.until)},
        "outage": None if state.outage is None else dict(state.outage),
        **known,
    }


def mirror_row(row: MirrorRow) -> dict[str, Json]:
    """One of `p_changed`: every key, null where there is nothing to say."""
    return {
        "job_id": row.job_id,
        "name": row.name,
        "schedule_kind": row.schedule_kind,
        "schedule_expr": row.schedule_expr,
        "tz": row.tz,
        "enabled": row.enabled,
        "next_run_at": instant(row.next_run_at),
        "instructions": row.instructions,
        "source": row.source,
        "description": row.description,
        "tags": list(row.tags),
        "accepts": None if row.accepts is None else dict(row.accepts),
        "timeout_s": row.timeout_s,
        "overlap": row.overlap,
        "retry": None if row.retry is None else dict(row.retry),
        "placement": row.placement,
        "connection_id": row.connection_id,
    }


def report(entry: OutboxEntry) -> dict[str, Json]:
    """One of `p_reports`; without what the job printed where the outbox has given that up."""
    said: Report = entry.report
    result = None if said.result is None else dict(said.result)
    if entry.without_output and result is not None:
        result = {key: None if key in OUTPUT_KEYS else value for key, value in result.items()}
    return {
        "run_id": str(said.run_id),
        "job_id": said.job_id,
        "trigger": said.trigger.value,
        "status": said.status.value,
        "attempt": said.attempt,
        "reason": said.reason,
        "request_id": None if said.request_id is None else str(said.request_id),
        "claims": said.claims,
        "scheduled_for": instant(said.scheduled_for),
        "started_at": instant(said.started_at),
        "finished_at": instant(said.finished_at),
        "duration_ms": said.duration_ms,
        "exit_code": said.exit_code,
        "output": None if entry.without_output else said.output,
        "error": None if entry.without_output else said.error,
        "retry_in_s": said.retry_in_s,
        "result": result,
    }


def log_piece(piece: LogPiece) -> dict[str, Json]:
    """One of `p_batches`."""
    return {
        "run_id": str(piece.run_id),
        "seq": piece.seq,
        "at": instant(piece.at),
        "stream": piece.stream,
        "text": piece.text,
    }


def notice(each: Notice) -> dict[str, Json]:
    """One of `cron_notify`."""
    return {
        "id": str(each.id),
        "type": each.type.value,
        "severity": each.severity.value,
        "title": each.title,
        "body": each.body,
        "subject": each.subject,
        "at": instant(each.at),
        "dedupe_key": each.dedupe_key,
        "shared": None if each.shared is None else _shared(each.shared),
    }


def _shared(each: Shared) -> dict[str, Json]:
    return {
        "ended_at": instant(each.ended_at),
        "realert_s": each.realert_every_s,
        "slots": [instant(slot) for slot in each.slots],
        "for_others": each.for_others,
        "told": each.told,
    }


def standing(said: Standing) -> dict[str, Json]:
    """One of `p_connections`."""
    return {
        "connection_id": said.connection_id,
        "provider": said.provider,
        "account": said.account,
        "scopes": list(said.scopes),
        "is_active": said.is_active,
        "token_expires_at": instant(said.token_expires_at),
        "needs_reauth": said.needs_reauth,
        "last_refresh_at": instant(said.last_refresh_at),
        "last_refresh_error": said.last_refresh_error,
        "last_failure_kind": None if said.last_failure_kind is None else said.last_failure_kind.value,
        "consecutive_failures": said.consecutive_failures,
        "consecutive_transient_failures": said.consecutive_transient_failures,
    }


def reconnect_answer(answer: ReconnectAnswer) -> dict[str, Json]:
    """`p_answer`: never a verifier, a device code or a token."""
    if answer.error is not None:
        return {"error": answer.error}
    if answer.sign_in is not None:
        return {"authorization_url": answer.sign_in.url, "state": answer.sign_in.state}
    if answer.device is not None:
        return {"verification_uri": answer.device.verification_uri, "user_code": answer.device.user_code}
    return {"done": True}


# ── JSON → values ────────────────────────────────────────────────────────────


def hello_reply(body: Body) -> HelloReply:
    """Of an accepted hello."""
    return HelloReply(
        epoch=_int(body["epoch"]),
        role=str(body["role"]),
        schema_version=_int(body["schema_version"]),
        server_time=_instant(body["server_time"]),
        claim_seq=_int(body.get("claim_seq") or 0),
        requeued=_uuids(body.get("requeued")),
        lost=_uuids(body.get("lost")),
    )


def beat_reply(body: Body) -> BeatReply:
    """News of a beat."""
    return BeatReply(
        server_time=_instant(body["server_time"]),
        cancelled=_uuids(body["cancelled"]),
        lost=_uuids(body["lost"]),
        due=_int(body["due"]),
        next_due_at=_maybe_instant(body.get("next_due_at")),
        pause=_pause(body.get("paused")),
        waiting=_waiting(body.get("waiting") or ()),
        reconnects=_int(body.get("reconnects") or 0),
    )


def _waiting(rows: Sequence[Body]) -> tuple[WaitingNotice, ...]:
    return tuple(
        WaitingNotice(
            id=UUID(row["id"]),
            type=NoticeType(row["type"]),
            severity=Severity(row["severity"]),
            subject=str(row["subject"]),
        )
        for row in _of_known_types(rows)
    )


def _of_known_types(rows: Sequence[Body]) -> list[Body]:
    """Notices of types that this version does not know are left for others."""
    known = {each.value for each in NoticeType}
    return [row for row in rows if row["type"] in known]


def notice_verdicts(body: Body) -> dict[UUID, NoticeVerdict]:
    """What became of each of `cron_notify`."""
    return {UUID(row["id"]): NoticeVerdict(row["verdict"]) for row in body["results"]}


def notices(body: Body) -> tuple[Notice, ...]:
    """What `cron_claim_notices` gives."""
    return tuple(
        Notice(
            id=UUID(row["id"]),
            type=NoticeType(row["type"]),
            severity=Severity(row["severity"]),
            title=str(row["title"]),
            body=str(row["body"]),
            subject=str(row["subject"]),
            at=_instant(row["at"]),
            dedupe_key=str(row["dedupe_key"]),
        )
        for row in _of_known_types(body["notices"])
    )


def slot_winner(body: Body) -> str | None:
    """Of a claimed slot: None where we won it, else who has it."""
    if not isinstance(body["won"], bool):
        raise TypeError("`won` is no boolean")
    return None if body["won"] else str(body["agent_id"] or "nobody any more")


def claimed(body: Body) -> Claimed:
    """Requests that are ours now."""
    return Claimed(
        server_time=_instant(body["server_time"]),
        requests=tuple(_request(row) for row in body["rows"]),
        due=_int(body.get("due") or 0),
        next_due_at=_maybe_instant(body.get("next_due_at")),
    )


def mirror_reply(body: Body) -> MirrorReply:
    """Counts of a sync; an ignored one counts nothing."""
    return MirrorReply(
        server_time=_instant(body["server_time"]),
        upserted=_int(body.get("upserted") or 0),
        removed=_int(body.get("removed") or 0),
        touched=_int(body.get("touched") or 0),
        refused={str(each["job_id"]): str(each["agent_id"]) for each in body.get("refused") or ()},
    )


def connections_reply(body: Body) -> ConnectionsReply:
    """Whose connections are not ours, and what people ask."""
    return ConnectionsReply(
        refused={str(each["connection_id"]): str(each["agent_id"]) for each in body.get("refused") or ()},
        requests=tuple(_reconnect(row) for row in body["requests"]),
    )


def code(body: Body) -> str | None:
    """Of `cron_reconnect_take`."""
    value = body["code"]
    return None if value is None else str(value)


def _reconnect(row: Body) -> ReconnectRequest:
    return ReconnectRequest(
        id=UUID(row["id"]),
        connection_id=str(row["connection_id"]),
        status=ReconnectStatus(row["status"]),
        redirect_uri=row["redirect_uri"],
        other_account_ok=row["other_account_ok"] is True,
        expires_at=_instant(row["expires_at"]),
        code_waits=row["code"] is True,
    )


def unknown_runs(body: Body) -> frozenset[UUID]:
    """Of `cron_append_logs`; an older schema does not say."""
    return frozenset(_uuids(body.get("unknown")))


def verdicts(body: Body, entries: Sequence[OutboxEntry]) -> dict[int, Verdict]:
    """One answer per entry, by seq; answers come in the order of the reports and name their run."""
    found: dict[int, Verdict] = {}
    for entry, answer in zip(entries, body["results"], strict=True):
        run_id = UUID(answer["run_id"])
        if run_id != entry.report.run_id:
            raise ValueError(f"the answer names run {run_id}, the report {entry.report.run_id}")
        found[entry.seq] = Verdict(run_id=run_id, kind=VerdictKind(answer["outcome"]), why=answer.get("why"))
    return found


def _request(row: Body) -> Request:
    requested_by = row.get("requested_by")
    return Request(
        id=UUID(row["id"]),
        job_id=str(row["job_id"]),
        claims=_int(row["claims"]),
        attempts=_int(row["attempts"]),
        max_attempts=_int(row["max_attempts"]),
        payload=row.get("payload"),
        requested_by=None if requested_by is None else str(requested_by),
        requested_at=_maybe_instant(row.get("requested_at")),
        run_at=_maybe_instant(row.get("run_at")),
    )


def _pause(body: Body | None) -> Pause | None:
    if body is None:
        return None
    mode: Literal["all", "schedule"] = "schedule" if body["mode"] == "schedule" else "all"
    return Pause(mode=mode, until=_maybe_instant(body.get("until")))


def _uuids(values: Sequence[str] | None) -> tuple[UUID, ...]:
    return tuple(UUID(value) for value in values or ())


def _int(value: Json) -> int:
    """Integers that a database can hold: a bool or a fraction means that we misread the answer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not an integer")
    if value.bit_length() > BITS:
        raise ValueError("an integer has more than 64 bits")
    return value


def _maybe_instant(value: str | None) -> datetime | None:
    return None if value is None else _instant(value)


def _instant(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"{value!r} has no offset")
    return at
