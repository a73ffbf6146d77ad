"""Who may do what: the matrix of SCHEMA, table by table and call by call, under both kinds of default privileges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.stage import PROJECT, Agent, Caller, Stage, a_job, a_notice, a_report

FORBIDDEN = psycopg.errors.InsufficientPrivilege
TABLES = (
    "cron_projects",
    "cron_project_members",
    "cron_mirror",
    "cron_run_requests",
    "cron_leases",
    "cron_agents",
    "cron_agent_beats",
    "cron_runs",
    "cron_run_logs",
    "cron_audit",
    "cron_connections",
    "cron_connection_requests",
    "cron_connection_codes",
    "cron_notifications",
    "cron_notice_claims",
    "cron_snoozes",
)
SHOWN = (
    "cron_mirror",
    "cron_run_requests",
    "cron_runs",
    "cron_agents",
    "cron_agent_beats",
    "cron_run_logs",
    "cron_projects",
    "cron_notifications",
    "cron_snoozes",
)
MEMBERS_ONLY = ("cron_project_members", "cron_connections")
NOBODYS = ("cron_leases", "cron_connection_codes", "cron_notice_claims")
ROLES = ("anon", "stranger", "viewer", "operator", "admin", "agent")


def furnish(stage: Stage, project: str = PROJECT) -> Agent:
    """A project with a row in every table."""
    agent = stage.agent("mac-mini", project).ready("backup")
    stage.ask("backup", p_project=project)
    (row,) = agent.claim("backup")
    agent.report(run := a_report(row, status="running"))
    agent.call("cron_append_logs", p_batches=[{"run_id": run["run_id"], "seq": 0, "stream": "stdout", "text": "hi"}])
    agent.call(
        "cron_report_connections", p_connections=[{"connection_id": "drive", "provider": "google"}], p_ids=["drive"]
    )
    agent.call("cron_notify", p_notices=[a_notice()])
    stage.owner.rpc("cron_snooze", p_project=project, p_subject="job:backup", p_until="tomorrow")
    stage.owner.rpc("cron_reconnect", p_project=project, p_connection="drive")
    return agent


def caller_of(stage: Stage, role: str) -> Caller:
    if role == "anon":
        return stage.enter("anon")
    if role == "stranger":
        return stage.enter("authenticated", uuid4(), "stranger@example.com")
    return stage.member(role, agent="laptop" if role == "agent" else None)


def allowed(act: Callable[[], Any]) -> bool:
    try:
        act()
    except FORBIDDEN:
        return False
    return True


def test_what_each_role_reads(either_stage: Stage) -> None:
    stage = either_stage
    furnish(stage)
    furnish(stage, "elsewhere")
    seen = {}
    for role in ROLES:
        caller = caller_of(stage, role)
        for table in TABLES:
            key = (
                "run_id = any(select id from cron_runs where project_id = {0})"
                if table == "cron_run_logs"
                else "project_id = {0}"
            )
            where = key.format(f"'{PROJECT}'")
            seen[role, table] = allowed(lambda: caller.sql(f"select 1 from {table}")) and bool(  # noqa: B023, S608
                caller.sql(f"select 1 from {table} where {where}")  # noqa: S608
            )
            if allowed(lambda: caller.sql(f"select 1 from {table}")):  # noqa: B023, S608
                assert not caller.sql(f"select 1 from {table} where not ({where})"), (role, table)  # noqa: S608

    members = ("viewer", "operator", "admin", "agent")
    expected = {(role, table): role in members for role in ROLES for table in SHOWN}
    expected |= {(role, table): role in members for role in ROLES for table in MEMBERS_ONLY}
    expected |= {(role, "cron_audit"): role == "admin" for role in ROLES}
    expected |= {(role, table): False for role in ROLES for table in (*NOBODYS, "cron_connection_requests")}
    assert seen == expected


def test_a_member_sees_only_himself_among_the_members_and_an_admin_sees_all(stage: Stage) -> None:
    viewer, admin = stage.member("viewer"), stage.member("admin")

    assert viewer.sql("select user_id from cron_project_members") == [{"user_id": viewer.user}]
    assert len(admin.sql("select user_id from cron_project_members")) == 2


def test_who_inserts_requests_directly(either_stage: Stage) -> None:
    stage = either_stage
    stage.member("viewer", "elsewhere")
    insert = (
        "insert into cron_run_requests (project_id, job_id, requested_by, status) values (%s, 'backup', 'ui', 'queued')"
    )
    may = {}
    for role in ROLES:
        caller = caller_of(stage, role)
        may[role] = allowed(lambda: caller.sql(insert, PROJECT))  # noqa: B023
        assert not allowed(lambda: caller.sql(insert, "elsewhere")), role  # noqa: B023

    assert {role for role, yes in may.items() if yes} == {"operator", "admin"}


@pytest.mark.parametrize("role", [*ROLES, "service_role"])
def test_nobody_writes_a_table_directly(either_stage: Stage, role: str) -> None:
    stage = either_stage
    furnish(stage)
    caller = stage.enter("service_role") if role == "service_role" else caller_of(stage, role)

    for table in TABLES:
        column = (
            "run_id = run_id"
            if table == "cron_run_logs"
            else "agent_id = agent_id"
            if table == "cron_leases"
            else "request_id = request_id"
            if table == "cron_connection_codes"
            else "project_id = project_id"
        )
        statements = [f"update {table} set {column}", f"delete from {table}", f"truncate {table}"]  # noqa: S608
        if table != "cron_run_requests":
            statements.append(f"insert into {table} default values")
        for statement in statements:
            assert not allowed(lambda: caller.sql(statement)), statement  # noqa: B023


def test_grants_and_open_policies_that_somebody_adds_later_still_write_nothing(stage: Stage) -> None:
    furnish(stage)
    with stage.superuser() as superuser, superuser.transaction(force_rollback=True):
        superuser.execute("grant all on cron_mirror, cron_run_requests, cron_runs to authenticated")
        superuser.execute("create policy oops on cron_runs for all using (true)")
        superuser.execute("set local role authenticated")
        for table in ("cron_mirror", "cron_run_requests", "cron_runs"):
            with pytest.raises(FORBIDDEN, match="is refused"), superuser.transaction():
                superuser.execute(f"update {table} set project_id = 'x'")  # noqa: S608
            with pytest.raises(FORBIDDEN, match="is refused"), superuser.transaction():
                superuser.execute(f"delete from {table}")  # noqa: S608


OPERATING: dict[str, dict[str, Any]] = {
    "cron_request_run": {"p_job_id": "backup"},
    "cron_cancel_request": {"p_id": None},
    "cron_set_paused": {"p_mode": "none"},
    "cron_snooze": {"p_subject": "job:backup"},
}
READING: dict[str, dict[str, Any]] = {
    "get_cron_jobs": {},
    "get_cron_job_runs": {},
    "cron_list_runs": {},
    "cron_recent_runs": {"p_job_ids": ["backup"]},
    "cron_table_sizes": {},
    "cron_sweep": {},
    "cron_read_notifications": {},
}
ADMINISTERING: dict[str, dict[str, Any]] = {
    "cron_prune": {"p_days": 30},
    "cron_set_member": {"p_user_id": uuid4(), "p_role": "viewer"},
    "cron_reconnect": {"p_connection": "drive"},
}


def test_which_functions_each_role_may_call(either_stage: Stage) -> None:
    stage = either_stage
    furnish(stage)
    may: dict[str, set[str]] = {}
    for role in (*ROLES, "service_role"):
        caller = stage.enter("service_role") if role == "service_role" else caller_of(stage, role)
        for name, arguments in (READING | OPERATING | ADMINISTERING).items():
            more = dict(arguments)
            if name == "cron_cancel_request":
                more["p_id"] = stage.ask()
            if allowed(lambda: caller.rpc(name, p_project=PROJECT, **more)):  # noqa: B023
                may.setdefault(name, set()).add(role)

    everyone = {"viewer", "operator", "admin", "agent", "service_role"}
    assert may == (
        dict.fromkeys(READING, everyone)
        | {name: {"operator", "admin", "service_role"} for name in OPERATING}
        | {name: {"admin", "service_role"} for name in ADMINISTERING}
    )


def agent_calls(agent: Agent) -> list[Callable[[], Any]]:
    return [
        agent.hello,
        agent.beat,
        agent.sync,
        lambda: agent.claim("backup"),
        lambda: agent.report(a_report()),
        lambda: agent.call("cron_append_logs", p_batches=[]),
        lambda: agent.call("cron_notify", p_notices=[]),
        agent.claim_notices,
        lambda: agent.call("cron_delivered", p_deliveries={}),
        lambda: agent.call("cron_report_connections", p_connections=[]),
        lambda: agent.call("cron_reconnect_answer", p_id=str(uuid4()), p_answer={"done": True}),
        lambda: agent.call("cron_reconnect_take", p_id=str(uuid4())),
        lambda: agent.call("cron_claim_slot", p_job_id="backup", p_scheduled_for="2026-03-01", p_run_id=str(uuid4())),
    ]


@pytest.mark.parametrize("role", [*ROLES, "another agent", "agent of another project"])
def test_only_the_agent_itself_calls_as_that_agent(either_stage: Stage, role: str) -> None:
    stage = either_stage
    agent = furnish(stage)
    if role == "agent of another project":
        caller = stage.member("agent", "elsewhere", agent="mac-mini")
    elif role == "another agent":
        caller = stage.member("agent", agent="studio")
    else:
        caller = caller_of(stage, role)
    impostor = Agent(caller, "mac-mini", epoch=agent.epoch, instance=agent.instance)

    assert [allowed(call) for call in agent_calls(impostor)] == [False] * 13
    assert all(allowed(call) for call in agent_calls(agent))
    by_key = agent_calls(Agent(stage.enter("service_role"), "by-key").ready("backup2"))
    assert all(allowed(call) for call in by_key[:-1])


def test_a_refusal_says_who_is_needed(stage: Stage) -> None:
    with pytest.raises(FORBIDDEN, match='not a member of project "home-lab"') as refused:
        stage.enter("anon").rpc("cron_request_run", p_project=PROJECT, p_job_id="backup")
    assert refused.value.diag.message_hint == "Sign in first."
    with pytest.raises(FORBIDDEN, match=r'role "viewer" in project "home-lab" does not allow this .*operator or admin'):
        stage.member("viewer").rpc("cron_request_run", p_project=PROJECT, p_job_id="backup")


def test_internal_functions_are_nobodys_to_call(stage: Stage) -> None:
    for role in ("anon", "authenticated", "service_role"):
        caller = stage.enter(role, uuid4())
        with pytest.raises(FORBIDDEN):
            caller.sql("select cron_end_requests('{}', 'x', 'y')")
        with pytest.raises(FORBIDDEN):
            caller.sql("select cron_authorise('home-lab', 'read')")


# ── trust ────────────────────────────────────────────────────────────────────


def test_a_superusers_session_that_has_become_a_user_is_that_user(stage: Stage) -> None:
    """Realtime and the dashboard's "impersonate" check rows from a superuser's session."""
    furnish(stage)
    with stage.superuser() as superuser:
        superuser.execute("set role authenticated")
        assert superuser.execute("select count(*) from cron_mirror").fetchone() == (0,)
        with pytest.raises(FORBIDDEN):
            superuser.execute("select cron_request_run('home-lab', 'backup')")
        superuser.execute("reset role")
        claims = f'{{"role": "authenticated", "sub": "{uuid4()}"}}'
        superuser.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        with pytest.raises(FORBIDDEN):
            superuser.execute("select cron_request_run('home-lab', 'backup')")


def test_a_session_of_the_gateway_without_a_token_is_nobody(stage: Stage) -> None:
    caller = stage.enter("anon")
    caller.sql("select set_config('request.jwt.claims', '', false)")

    with pytest.raises(FORBIDDEN):
        caller.rpc("cron_request_run", p_project=PROJECT, p_job_id="backup")


def test_the_sql_editor_and_pg_cron_are_trusted(stage: Stage) -> None:
    assert stage.owner.one("select cron_is_trusted()") is True
    with stage.superuser() as superuser:
        assert superuser.execute("select cron_is_trusted()").fetchone() == (True,)


# ── open access ──────────────────────────────────────────────────────────────


def open_access(stage: Stage, project: str) -> None:
    text = (Path(__file__).parents[2] / "migrations/optional/open_access.sql").read_text()
    stage.owner.sql(text.replace("v_project text := 'YOUR-PROJECT'", f"v_project text := '{project}'"))


def test_open_access_opens_one_project_to_the_anon_key_agent_included(either_stage: Stage) -> None:
    stage = either_stage
    furnish(stage)
    furnish(stage, "elsewhere")
    anon = stage.enter("anon")
    open_access(stage, PROJECT)

    for table in SHOWN:
        assert anon.sql(f"select 1 from {table}"), table  # noqa: S608
    assert {row["project_id"] for row in anon.sql("select project_id from cron_mirror")} == {PROJECT}
    assert anon.rpc("cron_request_run", p_project=PROJECT, p_job_id="backup")["status"] == "queued"
    anon.sql("insert into cron_run_requests (project_id, job_id, status) values ('home-lab', 'backup', 'queued')")
    page_agent = Agent(anon, "by-anon")
    assert page_agent.hello()["role"] == "open_access"
    assert page_agent.sync(a_job("own"))["upserted"] == 1
    assert not allowed(lambda: anon.rpc("cron_request_run", p_project="elsewhere", p_job_id="backup"))


def test_open_access_opens_no_connections_nor_what_is_said_of_them(either_stage: Stage) -> None:
    stage = either_stage
    furnish(stage).call("cron_notify", p_notices=[a_notice("integration_disconnected", "connection:drive")])
    open_access(stage, PROJECT)

    for caller in (stage.enter("anon"), stage.enter("authenticated", uuid4())):
        for table in ("cron_connections", "cron_connection_requests"):
            assert not allowed(lambda: caller.sql(f"select 1 from {table}")) or not caller.sql(f"select 1 from {table}")  # noqa: B023, S608
        assert [row["type"] for row in caller.sql("select type from cron_notifications")] == ["job_failed"]
        assert not allowed(lambda: caller.rpc("cron_reconnect", p_project=PROJECT, p_connection="drive"))  # noqa: B023
        page_agent = Agent(caller, f"by-{caller.user}").ready()
        assert allowed(lambda: page_agent.call("cron_notify", p_notices=[]))  # noqa: B023
        assert [allowed(call) for call in agent_calls(page_agent)[-4:-1]] == [False] * 3
    assert len(stage.member("viewer").sql("select type from cron_notifications")) == 2


def test_open_access_never_opens_members_audit_or_pruning(stage: Stage) -> None:
    open_access(stage, PROJECT)
    stranger = stage.enter("authenticated", uuid4())

    assert stranger.sql("select 1 from cron_project_members") == []
    assert stranger.sql("select 1 from cron_audit") == []
    for name, arguments in ADMINISTERING.items():
        assert not allowed(lambda: stranger.rpc(name, p_project=PROJECT, **arguments))  # noqa: B023


def test_open_access_refuses_to_run_as_it_is(stage: Stage) -> None:
    text = (Path(__file__).parents[2] / "migrations/optional/open_access.sql").read_text()

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="write your project id"):
        stage.owner.sql(text)


# ── the list ─────────────────────────────────────────────────────────────────

ACL = """
with rights as (
  select 'table' as kind, c.oid::regclass::text as name, a.grantee, lower(a.privilege_type) as what
  from pg_class c left join lateral aclexplode(c.relacl) a on a.grantee <> c.relowner
  where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'S')
  union all
  select 'table', c.oid::regclass::text, a.grantee, format('%s(%s)', lower(a.privilege_type), t.attname)
  from pg_class c join pg_attribute t on t.attrelid = c.oid, lateral aclexplode(t.attacl) a
  where c.relnamespace = 'public'::regnamespace and t.attacl is not null
  union all
  select 'function', p.oid::regprocedure::text, a.grantee, lower(a.privilege_type)
  from pg_proc p
  left join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a on a.grantee <> p.proowner
  where p.pronamespace = 'public'::regnamespace
), by_grantee as (
  select
    kind, name, case grantee when 0 then 'PUBLIC' else grantee::regrole::text end as who,
    string_agg(what, ' ' order by what) as what
  from rights group by kind, name, grantee
)
select format('%s %s: %s', kind, name, coalesce(
  string_agg(format('%s %s', who, what), ', ' order by who) filter (where who is not null), 'nobody'
)) as line
from by_grantee group by kind, name order by kind collate "C", name collate "C"
"""


def test_every_table_and_function_has_exactly_the_rights_that_are_written_down(either_stage: Stage) -> None:
    """Change `expected_acl.txt` only together with the reason in the migration."""
    found = [row["line"] for row in either_stage.owner.sql(ACL)]

    assert found == (Path(__file__).parent / "expected_acl.txt").read_text().splitlines()


def test_every_definer_function_has_an_empty_search_path(stage: Stage) -> None:
    rows = stage.owner.sql(
        "select oid::regprocedure::text as name from pg_proc where pronamespace = 'public'::regnamespace "
        "and (prosecdef or prokind <> 'p') and not coalesce(proconfig @> array['search_path=\"\"'], false)"
    )
    assert rows == []


def test_only_what_pages_show_is_published_and_has_a_random_key(stage: Stage) -> None:
    published = stage.owner.sql(
        "select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1"
    )
    assert [row["tablename"] for row in published] == [
        "cron_agents",
        "cron_connection_requests",
        "cron_mirror",
        "cron_notifications",
        "cron_run_requests",
        "cron_runs",
    ]
    keys = stage.owner.sql(
        "select format_type(a.atttypid, null) as type from pg_index i "
        "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] "
        "where i.indisprimary and i.indnatts = 1 and i.indrelid::regclass::text = any (%s)",
        [row["tablename"] for row in published],
    )
    assert [row["type"] for row in keys] == ["uuid"] * 6
