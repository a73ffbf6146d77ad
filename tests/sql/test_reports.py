"""Reports: counted once, fenced, never back from a final state, one bad one never spoiling the rest."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Stage, a_job, a_report

SLOT = "2026-03-01T03:00:00+00:00"
ACCEPTED = ("accepted", None)
DUPLICATE = ("duplicate", None)


@pytest.fixture
def agent(stage: Stage) -> Agent:
    agent = stage.agent()
    agent.hello()
    agent.sync(a_job("backup", retry={"max_attempts": 3, "on": ["exit_code"], "base_s": 1, "cap_s": 60}))
    return agent


def test_a_start_and_a_finish_end_the_request_with_its_result(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    run = a_report(row, result={"stdout_tail": "done\n", "ok": "a lie", "run_id": "another lie"})

    assert agent.report(run | {"status": "running", "finished_at": None, "exit_code": None}, run) == [
        ACCEPTED,
        ACCEPTED,
    ]

    ended = stage.request(request)
    assert (ended["status"], ended["last_error"]) == ("done", None)
    assert ended["result"] == {
        "ok": True,
        "reason": None,
        "exit_code": 0,
        "duration_ms": 5000,
        "error": None,
        "stdout_tail": "done\n",
        "run_id": run["run_id"],
        "agent_id": "mac-mini",
        "attempt": 1,
    }
    assert stage.owner.one("select count(*) from cron_leases") == 0
    assert stage.run(run["run_id"])["status"] == "ok"  # type: ignore[index]


def test_the_same_reports_sent_twice_count_once(stage: Stage, agent: Agent) -> None:
    stage.ask()
    (row,) = agent.claim("backup")
    start = a_report(row, status="running")
    finish = start | {"status": "error", "reason": "exit_code", "exit_code": 1}

    assert agent.report(start, finish) == [ACCEPTED, ACCEPTED]
    assert agent.report(start, finish) == [DUPLICATE, DUPLICATE]
    assert stage.job("backup")["consecutive_failures"] == 1
    assert stage.owner.one("select count(*) from cron_runs") == 1


def test_a_forged_claimed_by_is_fenced(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    thief = stage.agent("thief")
    thief.hello()

    assert thief.report(a_report(row) | {"claimed_by": "mac-mini", "agent_id": "mac-mini"}) == [("rejected", "fenced")]
    assert stage.request(request)["status"] == "running"
    (run,) = stage.owner.sql("select agent_id from cron_runs")
    assert run["agent_id"] == "thief"


def test_a_result_of_an_older_claim_is_fenced_but_closes_its_own_run(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    agent.report(start := a_report(row, status="running"))

    assert agent.report(a_report(row, run_id=start["run_id"], claims=row["claims"] - 1)) == [("rejected", "fenced")]
    assert stage.request(request)["status"] == "running"
    assert stage.run(start["run_id"])["status"] == "ok"  # type: ignore[index]


def test_a_result_cannot_end_the_request_of_another_job_or_project(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    foreign = stage.agent("mac-mini", "elsewhere")
    foreign.hello()

    assert agent.report(a_report(row, job_id="report")) == [("rejected", "fenced")]
    assert foreign.report(a_report(row)) == [("rejected", "fenced")]
    assert stage.request(request)["status"] == "running"


def test_a_run_id_belongs_to_one_agent_job_and_attempt(stage: Stage, agent: Agent) -> None:
    other = stage.agent("other")
    other.hello()
    agent.report(run := a_report(status="running"))

    assert other.report(run | {"status": "ok"}) == [("rejected", "not_yours")]
    assert agent.report(run | {"status": "ok", "attempt": 2}) == [("rejected", "not_yours")]
    assert agent.report(run | {"status": "ok", "job_id": "report"}) == [("rejected", "not_yours")]
    assert stage.run(run["run_id"])["status"] == "running"  # type: ignore[index]


def test_there_is_no_way_back_from_a_final_state(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report())

    assert agent.report(run | {"status": "error"}) == [("rejected", "final")]
    assert agent.report(run | {"status": "running"}) == [DUPLICATE]
    assert agent.report(run | {"status": "missed"}) == [("rejected", "final")]
    assert stage.run(run["run_id"])["status"] == "ok"  # type: ignore[index]


def test_a_running_run_cannot_become_skipped(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(status="running"))

    assert agent.report(run | {"status": "skipped"}) == [("rejected", "final")]


# ── retries ──────────────────────────────────────────────────────────────────


def failed(row: dict[str, Any], **more: Any) -> dict[str, Any]:
    return a_report(row, status="error", reason="exit_code", exit_code=1, error="exit code 1") | more


def test_a_failure_with_retry_in_s_returns_to_the_queue_that_much_after_the_servers_now(
    stage: Stage, agent: Agent
) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")

    assert agent.report(failed(row, retry_in_s=30)) == [ACCEPTED]

    again = stage.request(request)
    assert (again["status"], again["claimed_by"], again["last_error"]) == ("queued", None, "exit code 1")
    assert (again["attempts"], again["completed_at"], again["result"]) == (1, None, None)
    since = "select round(extract(epoch from q.run_at - r.created_at))::int from cron_run_requests q, cron_runs r"
    assert stage.owner.one(since) == 30
    assert agent.claim("backup") == []


def test_what_went_wrong_before_is_kept_when_a_retry_succeeds(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    for report in (lambda row: failed(row, retry_in_s=0), a_report):
        (row,) = agent.claim("backup")
        agent.report(report(row))

    ended = stage.request(request)
    assert (ended["status"], ended["attempts"], ended["last_error"]) == ("done", 2, "exit code 1")
    assert stage.owner.sql("select attempt, status from cron_runs order by attempt") == [
        {"attempt": 1, "status": "error"},
        {"attempt": 2, "status": "ok"},
    ]


def test_attempts_end_at_the_jobs_maximum(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    for _ in range(3):
        (row,) = agent.claim("backup")
        agent.report(failed(row, retry_in_s=0))

    ended = stage.request(request)
    assert (ended["status"], ended["attempts"], ended["result"]["reason"]) == ("error", 3, "exit_code")
    assert [run["attempt"] for run in stage.owner.sql("select attempt from cron_runs order by attempt")] == [1, 2, 3]


def test_a_request_may_lower_the_maximum_and_never_raise_it(stage: Stage, agent: Agent) -> None:
    lowered, raised = stage.ask(p_max_attempts=1), stage.ask(p_max_attempts=100)
    for _ in range(3):
        for row in agent.claim("backup"):
            agent.report(failed(row, retry_in_s=0))

    assert [(stage.request(each)["status"], stage.request(each)["attempts"]) for each in (lowered, raised)] == [
        ("error", 1),
        ("error", 3),
    ]


def test_at_most_once_is_the_default(stage: Stage, agent: Agent) -> None:
    agent.sync(a_job("plain"))
    request = stage.ask("plain")
    (row,) = agent.claim("plain")
    agent.report(failed(row, retry_in_s=0))

    assert stage.request(request)["status"] == "error"


def test_a_repeated_retry_report_does_not_queue_it_twice(stage: Stage, agent: Agent) -> None:
    stage.ask()
    (row,) = agent.claim("backup")
    report = failed(row, retry_in_s=0)
    agent.report(report)
    (second,) = agent.claim("backup")

    assert agent.report(report) == [DUPLICATE]
    assert agent.beat(second)["lost"] == []


def test_a_request_whose_cancellation_was_asked_for_ends_cancelled_and_never_queued(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=request)

    agent.report(failed(row, retry_in_s=0))

    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"]) == ("error", "cancelled")


def test_a_run_that_succeeded_before_the_cancellation_reached_it_is_done(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=request)
    agent.report(a_report(row))

    assert stage.request(request)["status"] == "done"


# ── slots ────────────────────────────────────────────────────────────────────


def test_a_slot_has_one_run(stage: Stage, agent: Agent) -> None:
    assert agent.report(a_report(scheduled_for=SLOT)) == [ACCEPTED]
    assert agent.report(a_report(scheduled_for=SLOT)) == [("rejected", "slot_taken")]
    assert agent.report(a_report(scheduled_for=SLOT, attempt=2)) == [ACCEPTED]


def test_missed_and_skipped_never_replace_a_run(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(scheduled_for=SLOT))

    for status in ("missed", "skipped"):
        assert agent.report(a_report(scheduled_for=SLOT, status=status)) == [("rejected", "slot_taken")]
    assert stage.run(run["run_id"])["status"] == "ok"  # type: ignore[index]


def test_a_catch_up_takes_over_the_missed_row_and_keeps_its_cause(stage: Stage, agent: Agent) -> None:
    missed = a_report(scheduled_for=SLOT, status="missed", reason="asleep", started_at=None)
    run = a_report(scheduled_for=SLOT, trigger="catch_up", status="running")
    assert agent.report(missed, run, run | {"status": "ok"}) == [ACCEPTED, ACCEPTED, ACCEPTED]

    (row,) = stage.owner.sql("select id::text, status, reason, trigger from cron_runs")
    assert row == {"id": run["run_id"], "status": "ok", "reason": "asleep", "trigger": "catch_up"}


def test_a_run_with_a_reason_of_its_own_keeps_that(stage: Stage, agent: Agent) -> None:
    missed = a_report(scheduled_for=SLOT, status="missed", reason="asleep", started_at=None)
    run = a_report(scheduled_for=SLOT, trigger="catch_up", status="timeout", reason="timeout")
    agent.report(missed, run)

    assert stage.run(run["run_id"])["reason"] == "timeout"  # type: ignore[index]


# ── robustness ───────────────────────────────────────────────────────────────


def test_one_bad_report_never_spoils_the_others_and_answers_come_in_order(stage: Stage, agent: Agent) -> None:
    good, last = a_report(), a_report()
    bad = [
        a_report(status="exploded"),
        a_report(run_id="no uuid"),
        a_report(job_id=None),
        a_report(duration_ms="many"),
        a_report(started_at="yesterdayish"),
    ]

    answers = agent.report(good, *bad, last)

    assert answers[0] == answers[-1] == ACCEPTED
    assert {outcome for outcome, _ in answers[1:-1]} == {"rejected"}
    assert all(why is not None and why.startswith("invalid: ") for _, why in answers[1:-1])
    assert stage.owner.one("select count(*) from cron_runs") == 2


def test_reports_that_are_no_list_are_refused(agent: Agent) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="p_reports must be an array"):
        agent.call("cron_report", p_reports={"run_id": 1})


def test_the_jobs_last_run_moves_only_forward_in_time(stage: Stage, agent: Agent) -> None:
    agent.report(a_report(started_at="2026-03-02T00:00:00+00:00", duration_ms=2))
    agent.report(a_report(started_at="2026-03-01T00:00:00+00:00", status="error", duration_ms=1))

    job = stage.job("backup")
    assert (job["last_status"], job["last_duration_ms"], job["consecutive_failures"]) == ("ok", 2, 0)


def test_failures_are_counted_until_a_success_and_a_cancellation_is_none(stage: Stage, agent: Agent) -> None:
    for minute, status in enumerate(["error", "timeout", "cancelled"]):
        agent.report(a_report(status=status, started_at=f"2026-03-02T00:0{minute}:00+00:00"))
    assert (stage.job("backup")["last_status"], stage.job("backup")["consecutive_failures"]) == ("error", 2)

    agent.report(a_report(started_at="2026-03-02T00:09:00+00:00"))
    assert stage.job("backup")["consecutive_failures"] == 0


def test_a_batch_changes_the_row_of_each_job_once_and_says_what_its_runs_said_one_by_one(
    stage: Stage, agent: Agent
) -> None:
    agent.sync(a_job("backup"), a_job("other"))
    stage.owner.sql(
        "create table touched (job_id text);"
        "create function touched() returns trigger language plpgsql security definer as $$ begin"
        "  insert into public.touched values (new.job_id); return null; end $$;"
        "create trigger touched after update on cron_mirror for each row execute function touched()"
    )
    told = [("backup", "ok", 1), ("backup", "error", 2), ("other", "ok", 3), ("backup", "timeout", 4)]
    late = [("backup", "ok", 3), ("backup", "cancelled", 5), ("other", "skipped", 6)]
    agent.report(
        *(
            a_report(job_id=job, status=status, started_at=f"2026-03-02T00:0{minute}:00+00:00")
            for job, status, minute in told + late
        )
    )
    rows = [(stage.job(job)["last_status"], stage.job(job)["consecutive_failures"]) for job in ("backup", "other")]
    assert rows == [("error", 2), ("ok", 0)]
    touched = stage.owner.one("select array_agg(job_id order by job_id) from touched")
    stage.owner.sql("drop function touched() cascade; drop table touched")  # other tests have this database too
    assert touched == ["backup", "other"]


def test_a_clock_ahead_of_time_does_not_freeze_the_jobs_last_run(stage: Stage, agent: Agent) -> None:
    agent.report(a_report(started_at="2199-01-01T00:00:00+00:00"))

    assert stage.owner.one("select last_run_at <= now() from cron_mirror")


def test_skipped_missed_and_rejected_runs_are_not_the_jobs_last_run(stage: Stage, agent: Agent) -> None:
    agent.report(
        a_report(status="skipped", reason="overlap"),
        a_report(status="missed", reason="asleep"),
        a_report(status="error", reason="rejected", started_at=None),
    )

    assert stage.job("backup")["last_run_at"] is None


def test_only_an_agent_that_serves_the_job_writes_its_last_run(stage: Stage, agent: Agent) -> None:
    other = stage.agent("other")
    other.hello()
    other.report(a_report())

    assert stage.job("backup")["last_status"] is None


def test_a_result_of_many_megabytes_loses_its_output_not_its_outcome(stage: Stage, agent: Agent) -> None:
    request = stage.ask()
    (row,) = agent.claim("backup")
    huge = "x" * 3_000_000

    assert agent.report(a_report(row, output=huge, result={"stdout_tail": huge})) == [ACCEPTED]
    assert "stdout_tail" not in stage.request(request)["result"]
    assert stage.owner.one("select length(output) from cron_runs") == 262_144


# ── live output ──────────────────────────────────────────────────────────────


def piece(run: dict[str, Any], seq: int, text: str = "line\n") -> dict[str, Any]:
    return {"run_id": run["run_id"], "seq": seq, "at": SLOT, "stream": "stdout", "text": text}


def test_live_output_is_appended_once(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(status="running"))

    first = agent.call("cron_append_logs", p_batches=[piece(run, 0), piece(run, 1)])
    again = agent.call("cron_append_logs", p_batches=[piece(run, 1, "other"), piece(run, 2)])

    assert (first["appended"], again["appended"]) == (2, 1)
    assert stage.owner.one("select string_agg(text, '' order by seq) from cron_run_logs") == "line\n" * 3


def test_pieces_that_are_none_are_left_out_and_spoil_nothing(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(status="running"))
    bad = [piece(run, 0) | {"stream": "stdin"}, piece(run, 1) | {"text": None}, piece(run, 2) | {"run_id": None}]

    answer = agent.call("cron_append_logs", p_batches=[*bad, piece(run, 3)])

    assert (answer["appended"], answer["unknown"]) == (1, [])
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="1,000"):
        agent.call("cron_append_logs", p_batches=[piece(run, seq) for seq in range(1001)])


def test_live_output_of_a_run_is_bounded_and_its_end_always_fits(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(status="running"), other := a_report(status="running"))
    flood = [piece(run, seq, "é" * 40_000) for seq in range(40)]

    assert agent.call("cron_append_logs", p_batches=flood)["appended"] == 26
    beside = [piece(run, 50, "é" * 40_000), piece(run, 51, ""), piece(other, 0)]
    assert agent.call("cron_append_logs", p_batches=beside)["appended"] == 2
    assert stage.owner.one("select sum(octet_length(text)) from cron_run_logs") <= 2 * 2**20 + 5


def test_live_output_of_another_agents_run_is_left_out(stage: Stage, agent: Agent) -> None:
    other = stage.agent("other")
    other.hello()
    agent.report(run := a_report(status="running"))

    unreported = {"run_id": str(uuid4())}

    answer = other.call("cron_append_logs", p_batches=[piece(run, 0), piece(unreported, 0)])
    assert answer["appended"] == 0
    assert sorted(answer["unknown"]) == sorted([run["run_id"], unreported["run_id"]])


def test_live_output_has_an_end(stage: Stage, agent: Agent) -> None:
    agent.report(run := a_report(status="running"))

    assert agent.call("cron_append_logs", p_batches=[piece(run, 20_001), piece(run, -1)])["appended"] == 0
