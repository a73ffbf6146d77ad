"""People's other RPCs: pause, members, and the lists."""

from __future__ import annotations

from datetime import datetime
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


def history(stage: Stage) -> None:
    """Six runs of `backup` in the order missed, 4, 3, 2, 1, 0 and one of `other`; reported in another order."""
    agent = stage.agent().ready("backup", "other")
    runs = [a_report(started_at=f"2026-03-0{day}T00:00:00+00:00", output="x") for day in (3, 1, 5, 2, 4)]
    missed = {"status": "missed", "started_at": None, "finished_at": None, "output": None, "duration_ms": None}
    missed = a_report(**missed, scheduled_for="2026-03-06T00:00:00+00:00", reason="asleep", trigger="schedule")
    agent.report(*runs, missed, a_report(started_at="2026-03-09T00:00:00+00:00", status="error", job_id="other"))


def test_history_comes_in_pages_in_the_order_in_which_it_happened(stage: Stage) -> None:
    history(stage)
    viewer = stage.member("viewer")

    days, before = [], None
    for _ in range(4):
        page = viewer.rpc("cron_list_runs", p_project=PROJECT, p_before=before, p_limit=2)
        days += [run["at"][8:10] for run in page["runs"]]
        before = page["next"]
        assert all("output" not in run for run in page["runs"])

    assert (days, before) == (["09", "06", "05", "04", "03", "02", "01"], None)


@pytest.mark.parametrize(
    ("filters", "days"),
    [
        ({"p_job_id": "other"}, ["09"]),
        ({"p_statuses": ["error", "missed"]}, ["09", "06"]),
        ({"p_triggers": ["schedule"], "p_job_id": "backup", "p_statuses": ["missed"]}, ["06"]),
        ({"p_since": "2026-03-05"}, ["09", "06", "05"]),
        ({"p_since": "2026-03-03", "p_until": "2026-03-05"}, ["04", "03"]),
        ({"p_agent": "nobody"}, []),
    ],
)
def test_history_is_filtered(stage: Stage, filters: dict, days: list[str]) -> None:
    history(stage)

    page = stage.member("viewer").rpc("cron_list_runs", p_project=PROJECT, **filters)

    assert [run["at"][8:10] for run in page["runs"]] == days
    assert page["next"] is None


def test_the_last_runs_of_several_jobs_come_at_once_with_those_that_did_not_happen(stage: Stage) -> None:
    history(stage)

    runs = stage.member("viewer").rpc(
        "cron_recent_runs", p_project=PROJECT, p_job_ids=["other", "backup", "backup", "gone"], p_each=3
    )["runs"]

    assert [(run["job_id"], run["at"][8:10], run["status"]) for run in runs] == [
        ("backup", "06", "missed"),
        ("backup", "05", "ok"),
        ("backup", "04", "ok"),
        ("other", "09", "error"),
    ]
    assert runs[0]["reason"] == "asleep"


def test_the_last_runs_of_too_many_jobs_are_refused(stage: Stage) -> None:
    with pytest.raises(REFUSED, match="200 jobs"):
        stage.owner.rpc("cron_recent_runs", p_project=PROJECT, p_job_ids=[str(number) for number in range(201)])


def test_what_a_project_keeps_is_counted_and_admins_learn_what_the_tables_take_on_disk(stage: Stage) -> None:
    agent = stage.agent().ready("backup", "sync")
    agent.report(a_report(), a_report(job_id="sync"))
    stage.ask()
    stage.agent("studio", "elsewhere").ready("theirs").report(a_report(job_id="theirs"))

    told = stage.member("viewer").rpc("cron_table_sizes", p_project=PROJECT)
    of_admin = stage.member("admin").rpc("cron_table_sizes", p_project=PROJECT)

    assert told["tables"] == {"cron_mirror": {"rows": 2}, "cron_run_requests": {"rows": 1}, "cron_runs": {"rows": 2}}
    assert of_admin["tables"]["cron_runs"]["bytes"] > 0
    assert datetime.fromisoformat(told["server_time"]).tzinfo is not None
