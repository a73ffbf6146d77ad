"""Retention: what goes, what stays, in which steps, and what must never be forgotten with it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Stage, a_report

REFUSED = psycopg.errors.InvalidParameterValue
HISTORY = """
insert into cron_runs (
  id, project_id, job_id, agent_id, trigger, status, scheduled_for, started_at, finished_at, created_at
)
select gen_random_uuid(), %s, %s, 'mac-mini', 'schedule', %s, t, case when %s then t end, case when %s then t end, t
from generate_series(1, %s) n, lateral (
  select date_trunc('second', now()) - make_interval(hours => %s, secs => n + case when %s then 0 else 0.5 end)
) x (t)
"""


def history(stage: Stage, count: int, *, hours: int, job: str = "backup", status: str = "ok") -> None:
    """Runs of one job, a second apart, the newest this long ago; `missed` and `skipped` ones never began."""
    began = status not in ("missed", "skipped")
    stage.owner.sql(HISTORY, PROJECT, job, status, began, began, count, hours, began)


def left(stage: Stage, job: str = "backup", status: str = "ok") -> int:
    count: int = stage.owner.one("select count(*) from cron_runs where job_id = %s and status = %s", job, status)
    return count


def step(stage: Stage) -> int:
    deleted: int = stage.owner.rpc("cron_prune_step", p_project=PROJECT)
    return deleted


def settle(stage: Stage) -> list[int]:
    """Steps until there is nothing to do; what each deleted."""
    steps = [step(stage)]
    while steps[-1] or stage.owner.one("select prune_job <> '' from cron_projects where project_id = %s", PROJECT):
        steps.append(step(stage))
    return steps


# ── what goes ────────────────────────────────────────────────────────────────


def test_runs_of_14_days_go_and_200_of_each_job_stay_in_steps_of_at_most_50_rows(stage: Stage) -> None:
    stage.agent().ready("backup")
    history(stage, 60, hours=15 * 24)
    history(stage, 260, hours=24)
    history(stage, 150, hours=24, job="report")

    steps = settle(stage)

    assert (left(stage), left(stage, "report")) == (200, 150)
    assert sum(steps) == 120
    assert max(steps) <= 50
    assert stage.owner.one("select min(started_at) from cron_runs where job_id = 'backup'") == stage.owner.one(
        "select started_at from cron_runs where job_id = 'backup' order by started_at desc offset 199 limit 1"
    )


def test_what_did_not_run_is_counted_apart_so_a_night_asleep_pushes_no_run_out(stage: Stage) -> None:
    stage.agent().ready("backup")
    history(stage, 480, hours=2, status="missed")
    history(stage, 210, hours=30)

    settle(stage)

    assert (left(stage), left(stage, status="missed")) == (200, 200)


def test_nothing_goes_by_number_within_its_first_hour(stage: Stage) -> None:
    stage.agent().ready("backup")
    history(stage, 300, hours=0)
    history(stage, 300, hours=0, status="skipped")

    assert step(stage) == 0
    assert (left(stage), left(stage, status="skipped")) == (300, 300)


def test_a_finished_request_goes_with_its_last_run(stage: Stage) -> None:
    agent = stage.agent().ready("backup", retry={"max_attempts": 2, "on": ["exit_code"]})
    request = stage.ask()
    for status in ("error", "ok"):
        (row,) = agent.claim("backup")
        agent.report(a_report(row, status=status, retry_in_s=0 if status == "error" else None))
    stage.owner.sql(
        "update cron_runs set created_at = now() - interval '3 hours', finished_at = now() - interval '3 hours', "
        "started_at = now() - interval '3 hours' + make_interval(secs => attempt)"
    )
    history(stage, 199, hours=2)

    settle(stage)
    assert stage.owner.sql("select attempt from cron_runs where request_id is not null") == [{"attempt": 2}]
    assert stage.request(request)["status"] == "done"

    history(stage, 1, hours=1)
    settle(stage)
    assert stage.owner.sql("select id from cron_run_requests") == []


def test_what_a_waiting_or_running_request_may_need_stays(stage: Stage) -> None:
    agent = stage.agent().ready("backup", retry={"max_attempts": 3, "on": ["exit_code"]})
    stage.ask()
    (row,) = agent.claim("backup")
    agent.report(a_report(row, status="error", retry_in_s=3600))
    stage.ask()
    (row,) = agent.claim("backup")
    agent.report(a_report(row, status="running"))
    stage.owner.sql(
        "update cron_runs set started_at = now() - interval '30 days', created_at = now() - interval '30 days', "
        "finished_at = finished_at - interval '30 days'"
    )
    history(stage, 200, hours=2)

    settle(stage)

    assert {run["status"] for run in stage.owner.sql("select status from cron_runs where request_id is not null")} == {
        "error",
        "running",
    }
    assert stage.owner.one("select count(*) from cron_run_requests") == 2


def test_live_output_goes_an_hour_after_its_run_and_a_long_output_is_cut_after_a_day(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    going, fresh, over = a_report(status="running"), a_report(), a_report(output="ü" * 10_000 + "end")
    agent.report(going, fresh, over)
    pieces = [
        {"run_id": run["run_id"], "seq": seq, "stream": "stdout", "text": "line", "at": "2026-01-01"}
        for run in (going, fresh, over)
        for seq in range(3)
    ]
    agent.call("cron_append_logs", p_batches=pieces)
    stage.owner.sql("update cron_runs set finished_at = now() - interval '59 minutes' where id = %s", fresh["run_id"])
    stage.owner.sql("update cron_runs set finished_at = now() - interval '25 hours' where id = %s", over["run_id"])

    step(stage)

    kept = {str(row["run_id"]) for row in stage.owner.sql("select run_id from cron_run_logs")}
    assert kept == {going["run_id"], fresh["run_id"]}
    output = stage.run(over["run_id"])["output"]  # type: ignore[index]
    assert (len(output.encode()), output[:1], output[-4:]) == (4095, "ü", "üend")
    assert stage.owner.one("select count(*) from cron_runs where status = 'ok' and octet_length(output) > 4096") == 0


# ── by whom ──────────────────────────────────────────────────────────────────


def test_a_beat_makes_one_step_every_ten_seconds(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    history(stage, 120, hours=400)

    agent.beat()
    agent.beat()
    assert left(stage) == 70
    stage.owner.sql("update cron_projects set pruned_at = now() - interval '11 seconds'")
    agent.beat()
    assert left(stage) == 20


def test_a_step_goes_on_where_the_last_one_ended(stage: Stage) -> None:
    stage.agent().ready("backup")
    for number in range(30):
        history(stage, 201, hours=2, job=f"job-{number:02}")

    steps = [step(stage) for _ in range(4)]

    assert steps == [10, 10, 10, 0]
    assert stage.owner.one("select count(*) from cron_runs") == 30 * 200


def test_an_admin_prunes_at_most_a_thousand_rows_a_call_and_hears_what_is_left(stage: Stage) -> None:
    history(stage, 1100, hours=240)
    history(stage, 5, hours=24)
    admin = stage.member("admin")

    answers = [admin.rpc("cron_prune", p_project=PROJECT, p_days=7) for _ in range(3)]

    assert [(answer["deleted"], answer["left"]) for answer in answers] == [(1000, 100), (100, 0), (0, 0)]
    assert left(stage) == 5


def test_an_admin_takes_finished_requests_and_audit_but_nothing_that_is_still_going_on(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    ended, running, queued = (
        stage.ask(),
        stage.ask(),
        stage.ask(p_run_at=stage.owner.one("select now() + interval '9 days'")),
    )
    stage.owner.rpc("cron_cancel_request", p_project=PROJECT, p_id=ended)
    (row,) = agent.claim("backup")
    agent.report(run := a_report(row, status="running"))
    stage.owner.sql(
        "update cron_run_requests set requested_at = now() - interval '30 days', "
        "completed_at = completed_at - interval '30 days'"
    )
    stage.owner.sql(
        "update cron_runs set started_at = now() - interval '30 days', created_at = now() - interval '30 days'"
    )
    stage.owner.sql("update cron_audit set at = now() - interval '30 days'")

    assert stage.owner.rpc("cron_prune", p_project=PROJECT, p_days=14)["left"] == 0

    kept = {str(each["id"]) for each in stage.owner.sql("select id from cron_run_requests")}
    assert kept == {running, queued}
    assert stage.run(run["run_id"]) is not None
    assert [each["action"] for each in stage.owner.sql("select action from cron_audit")] == ["prune"]


def test_another_project_is_never_touched(stage: Stage) -> None:
    history(stage, 3, hours=2400)

    stage.owner.rpc("cron_prune", p_project="elsewhere", p_days=1)
    stage.owner.rpc("cron_prune_step", p_project="elsewhere")

    assert left(stage) == 3


@pytest.mark.parametrize("days", [0, -1, None])
def test_an_admin_keeps_at_least_a_day(stage: Stage, days: int | None) -> None:
    with pytest.raises(REFUSED, match="p_days"):
        stage.owner.rpc("cron_prune", p_project=PROJECT, p_days=days)


# ── what must not be forgotten ───────────────────────────────────────────────


def test_a_slot_of_a_shared_job_whose_row_was_pruned_is_not_run_again(stage: Stage) -> None:
    agent = stage.agent().ready("backup", placement="any")
    history(stage, 203, hours=2)
    slots = [row["scheduled_for"] for row in stage.owner.sql("select scheduled_for from cron_runs order by 1")]
    settle(stage)
    stage.owner.sql("update cron_runs set status = 'missed', started_at = null where scheduled_for = %s", slots[3])

    def won(slot: Any) -> bool:
        answer = agent.call("cron_claim_slot", p_job_id="backup", p_scheduled_for=slot, p_run_id=str(uuid4()))
        return bool(answer["won"])

    assert [won(slot) for slot in slots[:4]] == [False, False, False, True]
    assert won("2030-01-01T00:00:00+00:00")


def test_a_pruned_slot_of_a_job_of_one_agent_is_nobodys_concern(stage: Stage) -> None:
    stage.agent().ready("backup")
    history(stage, 201, hours=2)

    settle(stage)

    assert stage.owner.sql("select * from cron_pruned_slots") == []
