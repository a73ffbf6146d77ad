"""The migrations themselves: from nothing, twice, over a UI builder's tables, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.adapters.postgres import render, render_down
from tests.sql.stage import Agent, Stage

HERE = Path(__file__).parent
MIGRATIONS = HERE.parent.parent / "migrations"
UP, DOWN = render(MIGRATIONS), render_down(MIGRATIONS)
NEWER = "create or replace function cron_schema_version() returns integer language sql immutable as 'select 99'"
BUILDER = (HERE / "builder.sql").read_text()

SNAPSHOT = {
    "columns": """
        select table_name, column_name, data_type, udt_name, is_nullable, column_default
        from information_schema.columns where table_schema = 'public' and table_name like 'cron%'
        order by table_name, ordinal_position""",
    "constraints": """
        select conrelid::regclass::text as t, conname, pg_get_constraintdef(oid) as d from pg_constraint
        where connamespace = 'public'::regnamespace and contype <> 'n' and conrelid::regclass::text like 'cron%'
        order by 1, 2""",
    "indexes": """
        select tablename, indexname, indexdef from pg_indexes where schemaname = 'public' and tablename like 'cron%'
        order by 1, 2""",
    "policies": """
        select tablename, policyname, permissive, roles::text, cmd, qual, with_check from pg_policies
        where schemaname = 'public' and policyname like 'cronmirror%' order by 1, 2""",
    "triggers": """
        select tgrelid::regclass::text as t, tgname, pg_get_triggerdef(oid) as d from pg_trigger
        where not tgisinternal and tgrelid::regclass::text like 'cron%' order by 1, 2""",
    "functions": """
        select oid::regprocedure::text as name, md5(pg_get_functiondef(oid)) as body, proacl::text from pg_proc
        where pronamespace = 'public'::regnamespace and oid::regprocedure::text <> 'get_cron_jobs()' order by 1""",
    "rights": """
        select relname, relrowsecurity, relacl::text from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and relname like 'cron%' order by 1""",
    "publication": "select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1",
}


def snapshot(stage: Stage) -> dict[str, list[dict[str, Any]]]:
    return {name: stage.owner.sql(query) for name, query in SNAPSHOT.items()}


def rows(stage: Stage) -> dict[str, list[Any]]:
    return {
        table: stage.owner.sql(f"select to_jsonb(t) as row from {table} t order by to_jsonb(t)::text")  # noqa: S608
        for table in ("cron_mirror", "cron_run_requests", "cron_projects", "agents")
        if stage.owner.one("select to_regclass(%s) is not null", f"public.{table}")
    }


def test_applying_twice_changes_nothing(either_empty: Stage) -> None:
    either_empty.owner.sql(UP)
    once = snapshot(either_empty)

    either_empty.owner.sql(UP)

    assert snapshot(either_empty) == once
    expected = (HERE / "expected_acl.txt").read_text()
    assert len(once["functions"]) == sum(line.startswith("function ") for line in expected.splitlines())
    assert {row["relrowsecurity"] for row in once["rights"]} == {True}


def test_fresh_and_migrated_are_the_same_schema(empty: Stage, stage: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(UP)

    migrated, fresh = snapshot(empty), snapshot(stage)

    for part in SNAPSHOT:
        assert migrated[part] == fresh[part], part


def test_a_builders_rows_and_columns_are_kept_and_its_other_things_left_alone(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    before = rows(empty)
    empty.owner.sql(UP)
    after = rows(empty)

    assert len(after["cron_mirror"]) == 2
    assert len(after["cron_run_requests"]) == 4
    assert after["agents"] == before["agents"]
    assert empty.owner.sql("select * from get_cron_jobs()") == [{"jobid": 1, "jobname": "theirs"}]
    old = {row["row"]["id"]: row["row"] for row in before["cron_run_requests"]}
    for row in (row["row"] for row in after["cron_run_requests"]):
        changed = {key for key, value in old[row["id"]].items() if row[key] != value}
        assert changed == ({"status", "completed_at", "result"} if old[row["id"]]["status"] == "running" else set())
    empty.owner.sql(UP)
    assert rows(empty) == after


def test_an_old_press_of_run_never_fires_after_the_migration(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(UP)
    agent = Agent(empty.enter("anon"), "mac-mini").ready("nightly-backup", "report")

    claimed = agent.claim("nightly-backup", "report")

    assert len(claimed) == 1, "only the press of an hour ago"
    rows_ = empty.owner.sql(
        "select status, result ->> 'reason' as reason, now() - requested_at > interval '1 day' as old "
        "from cron_run_requests where project_id = 'home-lab' order by requested_at"
    )
    assert rows_ == [
        {"status": "error", "reason": "expired", "old": True},
        {"status": "error", "reason": "lost", "old": True},
        {"status": "running", "reason": None, "old": False},
    ]


def test_a_builders_page_without_sign_in_goes_on_working(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(UP)
    page = empty.enter("anon")

    assert len(page.sql("select * from cron_mirror where project_id = 'home-lab' limit 100")) == 2
    (row,) = page.sql(
        "insert into cron_run_requests (project_id, job_id, requested_by, status) "
        "values ('home-lab', 'nightly-backup', 'ui', 'queued') returning id"
    )
    assert page.one("select status from cron_run_requests where id = %s", row["id"]) == "queued"
    assert empty.owner.sql("select project_id, open_access from cron_projects order by 1") == [
        {"project_id": "home-lab", "open_access": True},
        {"project_id": "side-project", "open_access": True},
    ]


def test_the_builders_open_policies_open_no_other_project_and_no_other_verb(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(UP)
    Agent(empty.member("agent", "private"), "mini", "private").ready("secret")
    empty.ask("secret", p_project="private")
    page = empty.enter("anon")

    assert page.sql("select 1 from cron_mirror where project_id = 'private'") == []
    assert page.sql("select 1 from cron_run_requests where project_id = 'private'") == []
    for statement in (
        "insert into cron_run_requests (project_id, job_id) values ('private', 'secret')",
        "update cron_run_requests set status = 'done'",
        "insert into cron_mirror (project_id, job_id, name) values ('home-lab', 'x', 'x')",
        "delete from cron_mirror",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            page.sql(statement)
    empty.owner.sql(UP)
    assert empty.owner.one("select open_access from cron_projects where project_id = 'private'") is False


def test_a_table_without_row_level_security_counts_as_open(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(
        "alter table cron_mirror disable row level security; alter table cron_run_requests disable row level security"
    )
    empty.owner.sql(UP)

    assert empty.owner.one("select bool_and(open_access) and count(*) = 2 from cron_projects")


@pytest.mark.parametrize(
    "closed",
    [
        "revoke all on cron_run_requests from anon",
        'drop policy "Anyone can request" on cron_run_requests',
        'alter policy "Anyone can request" on cron_run_requests to authenticated',
    ],
)
def test_a_page_that_could_not_queue_without_sign_in_is_not_opened(empty: Stage, closed: str) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(closed)
    empty.owner.sql(UP)

    assert empty.owner.sql("select * from cron_projects") == []
    assert empty.enter("anon").sql("select * from cron_mirror") == []


def test_duplicate_jobs_are_reported_and_kept_and_the_key_comes_when_they_are_gone(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql("alter table cron_mirror drop constraint cron_mirror_project_id_job_id_key")
    empty.owner.sql("insert into cron_mirror (project_id, job_id, name) values ('home-lab', 'old-job', 'again')")
    told: list[str] = []
    empty.owner.connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))

    empty.owner.sql(UP)

    assert any("more than one row for home-lab/old-job" in each for each in told)
    assert empty.owner.one("select count(*) from cron_mirror where job_id = 'old-job'") == 2
    agent = Agent(empty.enter("service_role"), "mini").ready("old-job", "nightly-backup")
    assert agent.sync(job_ids=["old-job", "nightly-backup"])["ignored"] is False
    empty.owner.sql("delete from cron_mirror where ctid = (select min(ctid) from cron_mirror where job_id = 'old-job')")
    empty.owner.sql(UP)
    assert (
        empty.owner.one("select count(*) from pg_constraint where conname = 'cron_mirror_project_id_job_id_key'") == 1
    )


def test_down_leaves_the_two_tables_with_their_columns_and_rows(either_empty: Stage) -> None:
    stage = either_empty
    stage.owner.sql(BUILDER)
    columns = snapshot(stage)["columns"]
    stage.owner.sql(UP)
    kept = stage.owner.sql("select id, project_id, job_id, requested_at, status from cron_run_requests order by id")
    stage.owner.sql(DOWN)
    stage.owner.sql(DOWN)

    left = snapshot(stage)
    assert left["columns"] == columns
    assert (left["policies"], left["triggers"], left["functions"]) == ([], [], [])
    assert (
        stage.owner.sql("select id, project_id, job_id, requested_at, status from cron_run_requests order by id")
        == kept
    )
    assert [row["tablename"] for row in left["publication"]] == ["cron_mirror", "cron_run_requests"]
    page = stage.enter("anon")
    page.sql("insert into cron_run_requests (project_id, job_id) values ('home-lab', 'x')")
    assert len(page.sql("select * from cron_run_requests")) == 5


def test_after_down_everything_can_be_applied_again(empty: Stage) -> None:
    empty.owner.sql(UP)
    once = snapshot(empty)
    empty.owner.sql(DOWN)
    empty.owner.sql(UP)

    assert snapshot(empty) == once


def test_down_on_a_database_without_us_does_nothing(empty: Stage) -> None:
    empty.owner.sql(DOWN)

    assert snapshot(empty)["columns"] == []


@pytest.mark.parametrize(
    ("before", "members", "told"),
    [
        ("drop publication supabase_realtime", [], "there is no publication supabase_realtime"),
        ("alter publication supabase_realtime owner to postgres", [], "belongs to somebody else"),
    ],
)
def test_a_publication_that_cannot_be_changed_is_a_warning(empty: Stage, before: str, members: list, told: str) -> None:
    with empty.superuser() as superuser:
        superuser.execute(before)
    heard: list[str] = []
    empty.owner.connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))

    empty.owner.sql(UP)

    assert any(told in each for each in heard)
    assert snapshot(empty)["publication"] == members


def test_a_publication_of_all_tables_or_of_the_schema_is_left_as_it_is(empty: Stage) -> None:
    for kind in ("all tables", "tables in schema public"):
        with empty.superuser() as superuser:
            superuser.execute(f"drop publication supabase_realtime; create publication supabase_realtime for {kind}")
        empty.owner.sql(UP)
        assert len(snapshot(empty)["publication"]) == len(snapshot(empty)["rights"])


def test_files_of_an_older_version_refuse_to_run_over_a_newer_schema(stage: Stage, empty: Stage) -> None:
    empty.owner.sql(UP)
    empty.owner.sql(
        "create or replace function cron_schema_version() returns integer language sql immutable as 'select 99'"
    )

    for path in [*MIGRATIONS.glob("repeatable/*.sql"), MIGRATIONS / "20261101000000_projects.sql"]:
        with pytest.raises(psycopg.errors.RaiseException, match="newer Cronmirror schema"):
            empty.owner.sql(path.read_text())


def test_a_database_that_is_not_supabases_is_refused_with_what_is_missing(empty: Stage) -> None:
    with empty.superuser() as superuser:
        superuser.execute("drop function auth.uid()")

    with pytest.raises(psycopg.errors.RaiseException, match="not a Supabase database"):
        empty.owner.sql(UP)


def test_a_function_of_the_users_with_our_very_signature_is_not_replaced(empty: Stage) -> None:
    empty.owner.sql(
        "create function get_cron_job_runs(p_project text, limit_count integer default 50) returns jsonb language sql "
        "as $$ select '[1]'::jsonb $$"
    )

    with pytest.raises(psycopg.errors.RaiseException, match="is yours and would be replaced"):
        empty.owner.sql(UP)
    assert empty.owner.one("select get_cron_job_runs('x')") == [1]


def test_the_tables_of_edits_that_a_page_may_have_are_left_alone(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    empty.owner.sql(
        "create table cron_job_patch_requests (id uuid primary key default gen_random_uuid(), project_id text); "
        "grant all on cron_job_patch_requests to anon"
    )
    empty.owner.sql(UP)
    empty.enter("anon").sql("insert into cron_job_patch_requests (project_id) values ('home-lab')")
    empty.owner.sql(DOWN)

    assert empty.owner.one("select count(*) from cron_job_patch_requests") == 1
