from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest

from agent.adapters.supabase import wire
from agent.model import (
    AgentState,
    MirrorRow,
    Notice,
    NoticeType,
    NoticeVerdict,
    OutboxEntry,
    Pause,
    Report,
    RunningRun,
    RunStatus,
    Severity,
    Shared,
    Trigger,
    Verdict,
    VerdictKind,
    WaitingNotice,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = "2026-03-01T12:00:00+00:00"


def entry(seq: int = 1, *, without_output: bool = False, **more) -> OutboxEntry:
    said = Report(run_id=uuid4(), job_id="j", trigger=Trigger.REQUEST, status=RunStatus.ERROR, **more)
    return OutboxEntry(seq=seq, report=said, without_output=without_output)


def test_instants_travel_in_utc():
    assert wire.instant(datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))) == NOW
    assert wire.instant(None) is None


def test_a_beat_names_only_the_runs_that_hold_a_lease():
    request = uuid4()
    runs = [
        RunningRun(run_id=uuid4(), job_id="a"),
        RunningRun(run_id=uuid4(), job_id="b", request_id=request, claims=2),
    ]
    assert wire.running_list(runs) == [{"request_id": str(request), "claims": 2}]


def test_the_state_has_every_key_of_the_contract():
    assert set(wire.agent_state(AgentState())) == {
        "state",
        "realtime",
        "running",
        "jobs",
        "config_error",
        "clock_skew_ms",
        "probe",
        "paused",
        "outage",
    }


def test_what_is_known_is_said_only_by_an_agent_that_stops():
    known = uuid4()
    assert wire.agent_state(AgentState(state="draining", known=(known,)))["known"] == [str(known)]
    assert wire.agent_state(AgentState(state="stopped", known=()))["known"] == []


def test_a_mirror_row_has_every_key_of_the_contract():
    row = wire.mirror_row(MirrorRow(job_id="j", name="J", next_run_at=AT, tags=("a",), retry={"max_attempts": 2}))
    assert set(row) == {
        "job_id",
        "name",
        "schedule_kind",
        "schedule_expr",
        "tz",
        "enabled",
        "next_run_at",
        "instructions",
        "source",
        "description",
        "tags",
        "accepts",
        "timeout_s",
        "overlap",
        "retry",
        "placement",
        "connection_id",
    }
    assert row["next_run_at"] == NOW
    assert row["tags"] == ["a"]
    assert row["accepts"] is None
    assert row["retry"] == {"max_attempts": 2}


def test_a_report_has_every_key_of_the_contract():
    request = uuid4()
    said = wire.report(entry(request_id=request, claims=3, started_at=AT, output="o", result={"ok": False}))
    assert set(said) == {
        "run_id",
        "job_id",
        "trigger",
        "status",
        "attempt",
        "reason",
        "request_id",
        "claims",
        "scheduled_for",
        "started_at",
        "finished_at",
        "duration_ms",
        "exit_code",
        "output",
        "error",
        "retry_in_s",
        "result",
    }
    assert said["request_id"] == str(request)
    assert said["started_at"] == NOW
    assert said["trigger"] == "request"
    assert said["result"] == {"ok": False}


def test_a_report_without_output_keeps_its_outcome():
    result = {"ok": False, "exit_code": 3, "stdout_tail": "secret", "stderr_tail": "x", "error": "y"}
    said = wire.report(entry(without_output=True, output="secret", error="y", exit_code=3, result=result))
    assert said["output"] is said["error"] is None
    assert said["exit_code"] == 3
    assert said["result"] == {"ok": False, "exit_code": 3, "stdout_tail": None, "stderr_tail": None, "error": None}
    assert wire.report(entry(without_output=True))["result"] is None


def test_hello_is_read():
    held = uuid4()
    reply = wire.hello_reply(
        {"epoch": 3, "role": "agent", "schema_version": 1, "server_time": NOW, "claim_seq": 41, "requeued": [str(held)]}
    )
    assert (reply.epoch, reply.claim_seq, reply.requeued, reply.lost) == (3, 41, (held,), ())
    assert reply.server_time == AT


def test_a_beat_is_read():
    one = uuid4()
    body = {"server_time": NOW, "cancelled": [str(one)], "lost": [], "due": 2, "next_due_at": NOW, "new": 1}
    reply = wire.beat_reply({**body, "paused": {"mode": "schedule", "until": NOW}})
    assert reply.cancelled == (one,)
    assert reply.next_due_at == AT
    assert reply.pause == Pause(mode="schedule", until=AT)
    assert wire.beat_reply({**body, "paused": None}).pause is None
    assert wire.beat_reply({**body, "paused": {"mode": "all", "until": None}}).pause == Pause(mode="all")


def test_claimed_requests_are_read_with_the_fractions_postgres_writes():
    row = {
        "id": str(UUID(int=1)),
        "job_id": "j",
        "payload": {"a": [1, None]},
        "requested_by": None,
        "requested_at": "2026-03-01T13:00:00.70612+01:00",
        "run_at": None,
        "attempts": 1,
        "max_attempts": 2,
        "claims": 7,
    }
    request = wire.claimed({"rows": [row, {**row, "requested_by": "ui"}], "server_time": NOW}).requests[0]
    assert request.requested_at == AT.replace(microsecond=706120)
    assert (request.attempts, request.max_attempts, request.claims) == (1, 2, 7)
    assert request.payload == {"a": [1, None]}


def test_a_sync_is_read():
    reply = wire.mirror_reply(
        {"upserted": 1, "touched": 2, "refused": [{"job_id": "a", "agent_id": "other"}], "server_time": NOW}
    )
    assert (reply.upserted, reply.removed, reply.touched, reply.refused) == (1, 0, 2, {"a": "other"})
    assert wire.mirror_reply({"ignored": True, "server_time": NOW}).upserted == 0


def test_verdicts_answer_their_own_reports():
    one, two = entry(1), entry(2)
    results = [
        {"run_id": str(one.report.run_id), "outcome": "accepted", "why": None},
        {"run_id": str(two.report.run_id), "outcome": "rejected", "why": "fenced"},
    ]
    read = wire.verdicts({"results": results}, [one, two])
    assert read[2] == Verdict(run_id=two.report.run_id, kind=VerdictKind.REJECTED, why="fenced")
    with pytest.raises(ValueError, match="names run"):
        wire.verdicts({"results": results[::-1]}, [one, two])
    with pytest.raises(ValueError, match="shorter"):
        wire.verdicts({"results": results[:1]}, [one, two])


@pytest.mark.parametrize("bad", [{"server_time": "2026-03-01T12:00:00"}, {"due": True}, {"due": 1.5}])
def test_an_answer_that_is_not_what_it_should_be_is_not_guessed_at(bad):
    body = {"server_time": NOW, "cancelled": [], "lost": [], "due": 0}
    with pytest.raises((ValueError, TypeError)):
        wire.beat_reply({**body, **bad})


def test_a_notice_goes_there_and_back_and_one_of_an_unknown_type_is_left_out():
    notice = Notice(
        id=uuid4(),
        type=NoticeType.JOB_FAILED,
        severity=Severity.CRITICAL,
        title="t",
        body="b",
        subject="job:a",
        at=AT,
        dedupe_key="k",
    )
    row = wire.notice(notice)
    assert row["at"] == NOW
    assert wire.notices({"notices": [row, {**row, "type": "of_a_later_version"}]}) == (notice,)
    assert wire.notice_verdicts({"results": [{"id": str(notice.id), "verdict": "snoozed"}]}) == {
        notice.id: NoticeVerdict.SNOOZED
    }
    assert row["shared"] is None
    shared = Shared(ended_at=AT, realert_every_s=60.0, slots=(AT,), for_others=True)
    assert wire.notice(replace(notice, shared=shared))["shared"] == {
        "ended_at": NOW,
        "realert_s": 60.0,
        "slots": [NOW],
        "for_others": True,
        "told": False,
    }


def test_a_beat_names_the_notices_that_wait_but_for_those_of_an_unknown_type():
    row = {"id": str(uuid4()), "type": "job_failed", "severity": "warning", "subject": "job:a"}
    body = {"server_time": NOW, "cancelled": [], "lost": [], "due": 0, "waiting": [row, {**row, "type": "new"}]}
    (waiting,) = wire.beat_reply(body).waiting
    assert waiting == WaitingNotice(
        id=UUID(row["id"]), type=NoticeType.JOB_FAILED, severity=Severity.WARNING, subject="job:a"
    )
