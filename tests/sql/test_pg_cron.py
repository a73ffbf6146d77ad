"""What pg_cron calls in place of beats, and that its migration is guarded. The real one: test_pg_cron_itself.py."""

from __future__ import annotations

import psycopg
import pytest

from tests.sql.conftest import MIGRATIONS
from tests.sql.stage import Stage, a_report
from tests.sql.test_retention import history, left

OPTIONAL = (MIGRATIONS / "optional" / "pg_cron.sql").read_text()


def test_without_the_extension_it_says_what_to_do(stage: Stage) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="pg_cron is not enabled") as told:
        stage.owner.sql(OPTIONAL)
    assert "create extension pg_cron" in str(told.value.diag.message_hint)


def test_before_the_migrations_it_says_what_to_do(empty: Stage) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="migrations are missing"):
        empty.owner.sql(OPTIONAL)


def test_a_night_prunes_every_project_to_the_end_and_beats_leave_it_alone_for_a_day(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    history(stage, 120, hours=400)
    history(stage, 230, hours=2)

    stage.owner.sql("call cron_prune_all(0)")
    assert left(stage) == 200

    history(stage, 5, hours=401)
    stage.owner.sql("update cron_projects set pruned_at = null")
    agent.beat()
    assert left(stage) == 205
    stage.owner.sql("update cron_projects set pruned_by_cron_at = now() - interval '27 hours'")
    agent.beat()
    assert left(stage) == 200


def test_a_night_that_was_too_short_leaves_the_rest_to_beats(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    history(stage, 120, hours=400)

    stage.owner.sql("call cron_prune_all(0, '0 s')")
    assert left(stage) == 70
    stage.owner.sql("update cron_projects set pruned_at = null")
    agent.beat()

    assert left(stage) == 20


def test_tending_gives_a_silent_agent_ten_minutes_and_no_page_a_head_start(stage: Stage) -> None:
    agent = stage.agent().ready("backup")
    request = stage.ask()
    (row,) = agent.claim("backup")
    agent.report(run := a_report(row, status="running"))
    stage.owner.sql("update cron_projects set swept_at = now() - interval '1 hour', swept_since = null")
    before = stage.owner.one("select swept_at from cron_projects")
    stage.silence(agent, 590)
    with stage.superuser() as superuser:
        if superuser.execute("select pg_postmaster_start_time() > now() - interval '61 seconds'").fetchone() == (True,):
            stage.owner.sql("update cron_leases set lease_s = 0")  # the server has not been up for a lease

    stage.owner.sql("call cron_tend()")
    assert stage.request(request)["status"] == "running"
    stage.silence(agent, 601)
    stage.owner.sql("call cron_tend()")

    assert stage.request(request)["result"]["reason"] == "lost"
    assert stage.run(run["run_id"])["status"] == "lost"  # type: ignore[index]
    assert stage.owner.one("select swept_at from cron_projects") == before
