"""The sweep: what it ends, what it rescues from whom, and what it leaves alone."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

from tests.sql.stage import PROJECT, Agent, Stage, a_job, a_report


def sweep(stage: Stage) -> dict[str, Any]:
    stage.allow_sweep()
    answer: dict[str, Any] = stage.owner.rpc("cron_sweep", p_project=PROJECT)
    return answer


def two_agents(stage: Stage, **job: Any) -> tuple[Agent, Agent]:
    one, two = stage.agent("one"), stage.agent("two")
    for agent in (one, two):
        agent.hello()
        agent.sync(a_job("backup", placement="any", **job))
    return one, two


def test_an_expired_lease_is_its_holders_until_somebody_rescues_it_so_a_beat_renews_it(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    (row,) = agent.claim("backup")
    stage.silence(agent, 3600)
    stage.allow_sweep()

    assert agent.beat(row)["lost"] == []
    assert stage.owner.one("select expires_at > now() from cron_leases")


def test_the_result_of_a_run_that_finished_during_an_outage_is_accepted(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    (row,) = agent.claim("backup")
    agent.report(a_report(row, status="running"))
    stage.silence(agent, 3600)

    agent.hello(known=[row["id"]])
    assert agent.report(a_report(row)) == [("accepted", None)]
    assert stage.request(request)["status"] == "done"


def test_claim_never_rescues_the_callers_own_rows(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup")
    stage.silence(agent, 3600)
    stage.steady(agent, 3600)
    stage.owner.sql("update cron_agent_beats set last_seen_at = now() - interval '1 hour'")
    stage.allow_sweep()

    agent.claim("backup")

    assert stage.request(request)["status"] == "running"


def test_another_agent_rescues_when_the_lease_has_expired_and_the_holder_is_silent(stage: Stage) -> None:
    holder, rescuer = two_agents(stage)
    request = stage.ask()
    (row,) = holder.claim("backup")
    holder.report(start := a_report(row, status="running"))
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()

    rescuer.beat()

    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"], ended["result"]["agent_id"]) == ("error", "lost", "one")
    assert stage.run(start["run_id"])["status"] == "lost"  # type: ignore[index]
    assert holder.beat(row)["lost"] == [request]


def test_nobody_is_rescued_by_an_agent_that_was_away_itself(stage: Stage) -> None:
    holder, rescuer = two_agents(stage)
    request = stage.ask()
    holder.claim("backup")
    stage.silence(holder, 3600)
    stage.silence(rescuer, 3600)
    stage.allow_sweep()

    rescuer.beat()
    assert stage.request(request)["status"] == "running"
    stage.steady(rescuer, 61)
    stage.allow_sweep()
    rescuer.beat()
    assert stage.request(request)["status"] == "error"


def test_a_holder_that_beats_is_not_rescued_although_its_lease_has_expired(stage: Stage) -> None:
    holder, rescuer = two_agents(stage)
    request = stage.ask()
    holder.claim("backup")
    stage.owner.sql("update cron_leases set expires_at = now() - interval '1 hour'")
    stage.steady(rescuer, 3600)
    stage.allow_sweep()

    rescuer.beat()

    assert stage.request(request)["status"] == "running"


def test_a_silent_holder_is_not_rescued_before_its_lease_has_expired(stage: Stage) -> None:
    holder, rescuer = two_agents(stage)
    request = stage.ask()
    holder.claim("backup")
    stage.silence(holder, 3600)
    stage.owner.sql("update cron_leases set expires_at = now() + interval '5 seconds'")
    stage.steady(rescuer, 3600)
    stage.allow_sweep()

    rescuer.beat()

    assert stage.request(request)["status"] == "running"


def test_the_late_result_of_a_rescued_request_is_rejected_and_nothing_is_overwritten(stage: Stage) -> None:
    holder, rescuer = two_agents(stage, retry={"max_attempts": 2, "on": ["lost"], "base_s": 0, "cap_s": 0})
    request = stage.ask()
    (first,) = holder.claim("backup")
    holder.report(start := a_report(first, status="running"))
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()
    rescuer.beat()
    (second,) = rescuer.claim("backup")
    rescuer.report(a_report(second, result={"stdout_tail": "the second one"}))
    before = stage.request(request), stage.run(start["run_id"]), stage.job("backup")

    late = holder.report(a_report(first, run_id=start["run_id"], status="error", exit_code=1))

    assert late == [("rejected", "fenced")]
    assert (stage.request(request), stage.run(start["run_id"]), stage.job("backup")) == before
    assert (before[0]["status"], before[0]["result"]["agent_id"], before[0]["attempts"]) == ("done", "two", 2)


def test_a_late_result_is_rejected_while_the_rescuer_is_still_running(stage: Stage) -> None:
    holder, rescuer = two_agents(stage, retry={"max_attempts": 2, "on": ["lost"], "base_s": 0, "cap_s": 0})
    request = stage.ask()
    (first,) = holder.claim("backup")
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()
    rescuer.beat()
    (second,) = rescuer.claim("backup")

    assert holder.report(a_report(first)) == [("rejected", "fenced")]
    row = stage.request(request)
    assert (row["status"], row["claimed_by"], row["claims"], second["claims"]) == ("running", "two", 2, 2)
    assert stage.owner.sql("select agent_id, status from cron_runs") == [{"agent_id": "one", "status": "ok"}]


RETRIED = {"max_attempts": 2, "on": ["lost"], "base_s": 0, "cap_s": 0}


def attempts(stage: Stage, request: str) -> list[tuple[int, str, str]]:
    runs = "select attempt, agent_id, status from cron_runs where request_id = %s order by attempt"
    return [(row["attempt"], row["agent_id"], row["status"]) for row in stage.owner.sql(runs, request)]


def rescued(stage: Stage) -> tuple[Agent, dict[str, Any], Agent]:
    """`one` claimed and was never heard of again, `two` rescued it: who held it, what it had claimed, the rescuer."""
    holder, rescuer = two_agents(stage, retry=RETRIED)
    stage.ask()
    (row,) = holder.claim("backup")
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()
    rescuer.beat()
    return holder, row, rescuer


def test_an_attempt_of_which_nobody_reported_a_run_is_a_lost_row(stage: Stage) -> None:
    _, row, rescuer = rescued(stage)
    assert attempts(stage, row["id"]) == [(1, "one", "lost")]

    (again,) = rescuer.claim("backup")
    rescuer.report(a_report(again, status="running"))
    stage.silence(rescuer, 61)
    rescuer.instance = uuid4()
    rescuer.hello()

    assert attempts(stage, row["id"]) == [(1, "one", "lost"), (2, "two", "lost")]
    assert stage.request(row["id"])["result"]["reason"] == "lost"


def test_the_late_word_of_its_agent_takes_the_place_of_a_silent_attempt(stage: Stage) -> None:
    holder, row, _ = rescued(stage)
    run = a_report(row)

    assert holder.report(run | {"status": "running"}) == [("accepted", None)]
    assert attempts(stage, row["id"]) == [(1, "one", "running")]
    assert holder.report(run) == [("rejected", "fenced")]
    assert holder.report(run) == [("duplicate", None)]
    assert attempts(stage, row["id"]) == [(1, "one", "ok")]
    assert stage.request(row["id"])["status"] == "queued"


def test_nobody_elses_word_takes_the_place_of_a_silent_attempt(stage: Stage) -> None:
    _, row, rescuer = rescued(stage)

    assert rescuer.report(a_report(row)) == [("rejected", "fenced")]

    assert attempts(stage, row["id"])[0] == (1, "one", "lost")


def test_what_is_handed_back_unbegun_is_no_attempt(stage: Stage) -> None:
    holder, _ = two_agents(stage, retry=RETRIED)
    request = stage.ask()
    holder.claim("backup")

    holder.hello(known=[])

    assert attempts(stage, request) == []


def test_a_page_rescues_only_after_the_project_was_swept_without_a_gap_for_a_lease(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    agent.claim("backup")
    stage.silence(agent, 3600)
    stage.owner.sql(
        "update cron_projects set swept_at = now() - interval '1 hour', swept_since = now() - interval '2 hours'"
    )
    viewer = stage.member("viewer")

    assert viewer.rpc("cron_sweep", p_project=PROJECT)["rescued"] == 0
    stage.owner.sql("update cron_projects set swept_since = now() - interval '61 seconds'")
    stage.allow_sweep()
    assert viewer.rpc("cron_sweep", p_project=PROJECT)["rescued"] == 1
    assert stage.request(request)["result"]["reason"] == "lost"


def test_a_lost_request_whose_cancellation_was_asked_for_ends_cancelled(stage: Stage) -> None:
    holder, rescuer = two_agents(stage, retry={"max_attempts": 9, "on": ["lost"]})
    request = stage.ask()
    holder.claim("backup")
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=request)
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()

    rescuer.beat()

    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"]) == ("error", "cancelled")


def test_a_lost_attempt_counts_on_the_job(stage: Stage) -> None:
    holder, rescuer = two_agents(stage)
    stage.ask()
    (row,) = holder.claim("backup")
    holder.report(a_report(row, status="running"))
    stage.silence(holder, 61)
    stage.steady(rescuer, 61)
    stage.allow_sweep()
    rescuer.beat()

    job = stage.job("backup")
    assert (job["last_status"], job["consecutive_failures"]) == ("error", 1)


# ── what else it ends ────────────────────────────────────────────────────────


def test_a_request_that_expired_ends_as_expired(stage: Stage) -> None:
    stage.agent().ready("backup")
    request = stage.ask()
    stage.owner.sql("update cron_run_requests set expires_at = now() - interval '1 second'")

    assert sweep(stage)["expired"] == 1
    ended = stage.request(request)
    assert (ended["status"], ended["result"]["reason"]) == ("error", "expired")
    assert ended["completed_at"] is not None


def test_a_request_for_a_job_that_nobody_has_is_rejected_after_ten_minutes(stage: Stage) -> None:
    stage.agent().ready("backup")
    known, unknown = stage.ask(), stage.ask("bakcup")
    stage.owner.sql("update cron_run_requests set requested_at = now() - interval '9 minutes'")
    assert sweep(stage)["unknown"] == 0
    stage.owner.sql("update cron_run_requests set requested_at = now() - interval '10 minutes'")

    assert sweep(stage)["unknown"] == 1
    assert stage.request(unknown)["result"]["reason"] == "unknown_job"
    assert stage.request(known)["status"] == "queued"


def test_a_job_whose_agent_is_merely_offline_waits(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    stage.owner.sql("update cron_run_requests set requested_at = now() - interval '20 hours'")
    stage.silence(agent, 72_000)

    sweep(stage)

    assert stage.request(request)["status"] == "queued"


def test_a_queued_request_with_a_cancellation_is_ended(stage: Stage) -> None:
    request = stage.ask()
    stage.owner.sql("update cron_run_requests set cancel_requested_at = now()")
    stage.agent().ready("backup")

    assert sweep(stage)["cancelled"] == 1
    assert stage.request(request)["result"]["reason"] == "cancelled"


def test_runs_of_an_agent_that_is_silent_for_ten_minutes_are_lost(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    run = a_report(status="running", scheduled_for="2026-03-01T03:00:00+00:00")
    agent.report(run)
    stage.owner.sql(
        "update cron_projects set swept_at = now() - interval '11 seconds', swept_since = now() - interval '1 hour'"
    )
    stage.silence(agent, 590)
    assert sweep(stage)["lost_runs"] == 0
    stage.silence(agent, 601)

    assert sweep(stage)["lost_runs"] == 1
    row = stage.run(run["run_id"])
    assert row
    assert (row["status"], row["reason"], row["finished_at"] is not None) == ("lost", "lost", True)


def test_the_truth_of_the_same_agent_replaces_a_run_that_was_only_thought_lost(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    run = a_report(status="running", scheduled_for="2026-03-01T03:00:00+00:00")
    agent.report(run)
    stage.owner.sql("update cron_runs set status = 'lost', reason = 'lost', finished_at = now()")

    assert agent.report(run | {"status": "ok"}) == [("accepted", None)]
    row = stage.run(run["run_id"])
    assert row
    assert (row["status"], row["reason"]) == ("ok", None)


def test_a_run_whose_request_went_on_without_it_is_closed(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    stage.ask()
    (row,) = agent.claim("backup")
    stage.owner.sql("update cron_run_requests set status = 'error'")
    agent.report(run := a_report(row, status="running"))

    assert sweep(stage)["lost_runs"] == 1
    assert stage.run(run["run_id"])["status"] == "lost"  # type: ignore[index]


def test_a_project_is_swept_at_most_once_in_ten_seconds(stage: Stage) -> None:
    stage.agent().ready("backup")
    viewer = stage.member("viewer")
    stage.allow_sweep()

    assert viewer.rpc("cron_sweep", p_project=PROJECT)["ran"] is True
    assert viewer.rpc("cron_sweep", p_project=PROJECT)["ran"] is False
    stage.allow_sweep()
    assert viewer.rpc("cron_sweep", p_project=PROJECT)["ran"] is True


def test_sweeps_beats_and_reports_of_many_connections_never_deadlock(stage: Stage) -> None:
    agents = [stage.agent(f"agent-{number}") for number in range(4)]
    for agent in agents:
        agent.ready(
            "backup", "report", placement="any", retry={"max_attempts": 5, "on": ["lost"], "base_s": 0, "cap_s": 0}
        )
    for number in range(60):
        stage.ask("backup" if number % 2 else "report")
    failures: list[Exception] = []
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"

    def work(agent: Agent) -> None:
        try:
            for _ in range(12):
                rows = agent.claim("backup", "report", limit=5)
                agent.beat(*rows, jobs=("backup", "report"))
                agent.report(*[a_report(row, status="running") for row in reversed(rows)])
                agent.report(*[a_report(row, status="error", retry_in_s=0) for row in rows])
        except Exception as err:  # noqa: BLE001  # reported by the main thread
            failures.append(err)

    threads = [threading.Thread(target=work, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sweep(stage)
    for thread in threads:
        thread.join()

    assert failures == []
    assert stage.owner.one(deadlocks) == 0
