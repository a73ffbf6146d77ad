"""People's other RPCs: pause, members, the two lists, and retention."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Stage, a_report

REFUSED = psycopg.errors.InvalidParameterValue
FORBIDDEN = psycopg.errors.InsufficientPrivilege


def pause(stage: Stage, **more: Any) -> Any:
    return stage.owner.rpc("cron_set_paused", p_project=PROJECT, **more)["paused"]


def test_a_project_is_paused_and_resumed(stage: Stage) -> None:
    assert pause(stage) == {"mode": "all", "until": None}
    assert pause(stage, p_mode="schedule") == {"mode": "schedule", "until": None}
    assert pause(stage, p_mode="none") is None
    assert stage.owner.sql("select action, detail from cron_audit order by id") == [
        {"action": "pause", "detail": {"mode": "all"}},
        {"action": "pause", "detail": {"mode": "schedule"}},
        {"action": "resume", "detail": {}},
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"p_mode": "some"}, "p_mode"),
        ({"p_until": "2020-01-01"}, "p_until"),
        ({"p_until": "infinity"}, "p_until"),
        ({"p_agent": "nobody"}, 'no agent "nobody"'),
    ],
)
def test_a_malformed_pause_is_named(stage: Stage, arguments: dict, told: str) -> None:
    with pytest.raises(REFUSED, match=told):
        pause(stage, **arguments)


def test_an_admin_adds_changes_and_removes_members(stage: Stage) -> None:
    admin, user = stage.member("admin"), uuid4()
    change = {"p_project": PROJECT, "p_user_id": user}

    admin.rpc("cron_set_member", **change, p_role="agent", p_agent_id="studio")
    admin.rpc("cron_set_member", **change, p_role="agent")
    member = "select role, agent_id from cron_project_members where user_id = %s"
    assert stage.owner.sql(member, user) == [{"role": "agent", "agent_id": "studio"}]
    admin.rpc("cron_set_member", **change, p_role="viewer")
    assert stage.owner.sql(member, user) == [{"role": "viewer", "agent_id": None}]
    admin.rpc("cron_set_member", **change, p_role=None)
    assert stage.owner.sql(member, user) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"p_role": "king"}, "p_role"),
        ({"p_role": "viewer", "p_agent_id": "mini"}, "p_agent_id"),
        ({"p_role": "agent", "p_agent_id": "taken"}, "belongs to another member"),
        ({"p_role": "viewer", "p_user_id": None}, "p_user_id"),
    ],
)
def test_a_malformed_member_is_named(stage: Stage, arguments: dict, told: str) -> None:
    stage.agent("taken")

    with pytest.raises(REFUSED, match=told):
        stage.member("admin").rpc("cron_set_member", **({"p_project": PROJECT, "p_user_id": uuid4()} | arguments))


def test_an_admin_of_one_project_is_nobody_in_another(stage: Stage) -> None:
    admin = stage.member("admin", "elsewhere")
    stage.member("admin")

    with pytest.raises(FORBIDDEN, match="not a member"):
        admin.rpc("cron_set_member", p_project=PROJECT, p_user_id=admin.user, p_role="admin")
    with pytest.raises(FORBIDDEN):
        admin.rpc("cron_set_member", p_project="brand-new", p_user_id=admin.user, p_role="admin")


def test_jobs_come_in_pages_with_the_keys_of_pg_cron(stage: Stage) -> None:
    stage.agent().ready("a", "b", "c", schedule_expr="0 3 * * *", instructions="restic")
    viewer = stage.member("viewer")

    first = viewer.rpc("get_cron_jobs", p_project=PROJECT, p_limit=2)
    rest = viewer.rpc("get_cron_jobs", p_project=PROJECT, p_after=first["next"], p_limit=2)

    assert ([job["jobid"] for job in first["jobs"]], first["next"]) == (["a", "b"], "b")
    assert ([job["jobid"] for job in rest["jobs"]], rest["next"]) == (["c"], None)
    job = first["jobs"][0]
    assert (job["jobname"], job["schedule"], job["command"], job["active"]) == ("A", "0 3 * * *", "restic", True)
    assert job["agent_ids"] == ["mac-mini"]


def test_runs_come_newest_first_with_the_keys_of_pg_cron(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    agent.report(
        a_report(started_at="2026-03-01T00:00:00+00:00", output="old"),
        a_report(
            status="missed", started_at=None, scheduled_for="2026-03-03T00:00:00+00:00", finished_at=None, output=None
        ),
        a_report(started_at="2026-03-02T00:00:00+00:00", status="error", error="exit code 1", job_id="gone"),
    )

    runs = stage.member("viewer").rpc("get_cron_job_runs", p_project=PROJECT)

    assert [run["status"] for run in runs] == ["missed", "error", "ok"]
    assert [run["return_message"] for run in runs] == [None, "exit code 1", "old"]
    assert [run["jobname"] for run in runs] == ["Backup", "gone", "Backup"]
    assert runs[2]["start_time"].startswith("2026-03-01")
    assert len(stage.member("viewer").rpc("get_cron_job_runs", p_project=PROJECT, limit_count=1)) == 1


# ── retention ────────────────────────────────────────────────────────────────


def old_history(stage: Stage, *, count: int, days: int) -> None:
    stage.owner.sql(
        "insert into cron_runs (id, project_id, job_id, agent_id, trigger, status, started_at, finished_at) "
        "select gen_random_uuid(), %s, 'backup', 'mac-mini', 'schedule', 'ok', t, t "
        "from generate_series(1, %s) n, lateral (select now() - make_interval(days => %s, secs => n)) x (t)",
        PROJECT,
        count,
        days,
    )


def test_prune_removes_at_most_a_thousand_rows_a_call_and_says_what_is_left(stage: Stage) -> None:
    old_history(stage, count=1100, days=10)
    old_history(stage, count=5, days=1)
    admin = stage.member("admin")

    answers = [admin.rpc("cron_prune", p_project=PROJECT, p_days=7) for _ in range(3)]

    assert [(answer["deleted"], answer["left"]) for answer in answers] == [(1000, 100), (100, 0), (0, 0)]
    assert stage.owner.one("select count(*) from cron_runs") == 5


def test_prune_takes_finished_requests_and_audit_but_nothing_that_is_still_going_on(stage: Stage) -> None:
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

    left = {str(each["id"]) for each in stage.owner.sql("select id from cron_run_requests")}
    assert left == {running, queued}
    assert stage.run(run["run_id"]) is not None
    assert [each["action"] for each in stage.owner.sql("select action from cron_audit")] == ["prune"]


def test_prune_never_touches_another_project(stage: Stage) -> None:
    old_history(stage, count=3, days=100)

    stage.owner.rpc("cron_prune", p_project="elsewhere", p_days=1)

    assert stage.owner.one("select count(*) from cron_runs") == 3


@pytest.mark.parametrize("days", [0, -1, None])
def test_prune_keeps_at_least_a_day(stage: Stage, days: int | None) -> None:
    with pytest.raises(REFUSED, match="p_days"):
        stage.owner.rpc("cron_prune", p_project=PROJECT, p_days=days)


def test_beats_keep_14_days_and_200_runs_of_a_job_and_prune_at_most_hourly(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    old_history(stage, count=210, days=1)
    agent.beat()
    assert stage.owner.one("select count(*) from cron_runs") == 200
    old_history(stage, count=5, days=20)

    agent.beat()
    assert stage.owner.one("select count(*) from cron_runs") == 205
    stage.owner.sql("update cron_projects set pruned_at = now() - interval '61 minutes'")
    agent.beat()
    assert stage.owner.one("select count(*) from cron_runs") == 200


def test_a_beat_prunes_at_most_500_rows(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    old_history(stage, count=600, days=20)

    agent.beat()

    assert stage.owner.one("select count(*) from cron_runs") == 100


def test_live_output_goes_an_hour_after_the_run_and_long_output_is_cut_after_a_day(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    going, over = a_report(status="running"), a_report(output="x" * 10_000 + "end")
    agent.report(going, over)
    for run in (going, over):
        batch = [{"run_id": run["run_id"], "seq": 0, "stream": "stdout", "text": "line"}]
        agent.call("cron_append_logs", p_batches=batch)
    stage.owner.sql("update cron_runs set finished_at = now() - interval '25 hours' where status = 'ok'")

    agent.beat()

    assert [str(row["run_id"]) for row in stage.owner.sql("select run_id from cron_run_logs")] == [going["run_id"]]
    output = stage.run(over["run_id"])["output"]  # type: ignore[index]
    assert (len(output), output[-3:]) == (4096, "end")
