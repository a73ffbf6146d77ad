"""Holders of the anon key, or of a viewer's, operator's, outsider's or other agent's login, against the API."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.security.conftest import CallAs
from tests.support.stack import Project

TABLES = (
    *("cron_projects", "cron_project_members", "cron_mirror", "cron_run_requests", "cron_leases", "cron_agents"),
    *("cron_agent_beats", "cron_runs", "cron_run_logs", "cron_audit"),
)
PUBLIC_RPCS = {
    *("cron_agent_hello", "cron_agent_beat", "cron_sync_mirror", "cron_claim_requests", "cron_claim_slot"),
    *("cron_report", "cron_append_logs", "cron_sweep", "cron_request_run", "cron_cancel_request", "cron_set_paused"),
    *("cron_set_member", "cron_prune", "get_cron_jobs", "get_cron_job_runs"),
    *("cron_list_runs", "cron_recent_runs", "cron_table_sizes"),
    *("cron_report_connections", "cron_reconnect", "cron_reconnect_code", "cron_reconnect_cancel"),
    *("cron_reconnect_answer", "cron_reconnect_take"),
    *("cron_notify", "cron_claim_notices", "cron_delivered", "cron_read_notifications", "cron_snooze"),
    *("cron_schema_version", "cron_readable", "cron_operable", "cron_administered", "cron_membered"),
}


async def fill(project: Project, call_as: CallAs) -> str:
    """A row in every table of the project, all of it by the front door; the id of the running request."""
    agent, operator = await call_as(project.agent), await call_as(project.operator)
    who = {"p_project": project.project_id, "p_agent": project.agent_id, "p_epoch": 1}
    assert (await agent.hello(project.agent_id)).json()["status"] == "accepted"
    assert (await agent.sync(project.agent_id, {"job_id": "a"})).json()["upserted"] == 1
    asked = await operator.rpc("cron_request_run", p_project=project.project_id, p_job_id="a", p_payload={"n": 1})
    claim = await agent.rpc("cron_claim_requests", **who, p_seq=1, p_job_ids=["a"], p_limit=1)
    (row,) = claim.json()["rows"]
    run = {"run_id": str(uuid4()), "job_id": "a", "trigger": "request", "status": "running", "request_id": row["id"]}
    await agent.rpc("cron_report", **who, p_reports=[run])
    piece = {"run_id": run["run_id"], "seq": 1, "stream": "stdout", "text": project.project_id}
    assert (await agent.rpc("cron_append_logs", **who, p_batches=[piece])).json()["appended"] == 1
    return str(asked.json()["id"])


async def test_the_anon_key_and_another_projects_login_see_no_row_of_any_table(
    project: Project, call_as: CallAs
) -> None:
    request = await fill(project, call_as)
    for stranger in (await call_as(), await call_as(key=project.keys.anon_key), await call_as(project.outsider)):
        for table in TABLES:
            seen = str(await stranger.rows(table))
            assert project.project_id not in seen, table
            assert request not in seen, table
    viewer = await call_as(project.viewer)
    shown = {table for table in TABLES if await viewer.rows(table)}
    assert shown == {*TABLES} - {"cron_leases", "cron_audit"}  # so there was something to hide


async def test_no_internal_function_can_be_called_by_anybody_with_a_login(project: Project, call_as: CallAs) -> None:
    """Arguments are nulls of the right names: what is refused is refused before it looks at them."""
    functions = project.sql(
        "select proname as name, coalesce(proargnames[1:pronargs], '{}') as names from pg_proc "
        "where pronamespace = 'public'::regnamespace and proname ~ 'cron_' and prokind = 'f' "
        "and prorettype <> 'trigger'::regtype"
    )
    internal = [each for each in functions if each["name"] not in PUBLIC_RPCS]
    assert len(internal) > 20
    for caller in [await call_as(person) for person in (None, project.admin, project.agent)]:
        for each in internal:
            answer = await caller.rpc(each["name"], **dict.fromkeys(each["names"]))
            assert answer.status_code in (401, 403), (each["name"], answer.text)
            assert answer.json()["code"] == "42501", (each["name"], answer.text)


async def test_only_the_two_tables_of_the_matrix_and_requests_are_reachable_for_writing(
    project: Project, call_as: CallAs
) -> None:
    """Insert, update and an upsert of every table, by an admin: only a request's own columns are ever written."""
    await fill(project, call_as)
    admin = await call_as(project.admin)
    before = contents(project)
    row = {"project_id": project.project_id, "role": "admin", "open_access": True, "claimed_by": "me"}
    mine = {"project_id": f"eq.{project.project_id}"}
    preferences = ("return=minimal", "resolution=merge-duplicates", "resolution=ignore-duplicates")
    columns = ("status", "claimed_by", "open_access", "role", "enabled", "agent_ids", "output")
    asks = [
        ask
        for path in (f"/rest/v1/{table}" for table in TABLES)
        for ask in (
            *(admin.http.post(path, json=row, headers={"prefer": prefer}) for prefer in preferences),
            *(admin.http.patch(path, params=mine, json={column: "done"}) for column in columns),
            admin.http.delete(path, params=mine),
        )
    ]
    for answer in await asyncio.gather(*asks):
        assert 400 <= answer.status_code, (answer.request.method, answer.request.url, answer.text)  # noqa: SIM300
    assert contents(project) == before


def contents(project: Project) -> dict[str, Any]:
    """Every row of every table, as text."""
    return {table: project.sql(f"select t::text from {table} t order by 1") for table in TABLES}  # noqa: S608 - ours


async def test_a_viewer_and_an_operator_can_do_nothing_beyond_their_row_of_the_matrix(
    project: Project, call_as: CallAs
) -> None:
    request = await fill(project, call_as)
    here = {"p_project": project.project_id}
    me = {**here, "p_agent": project.agent_id, "p_epoch": 1}
    operate: list[tuple[str, dict[str, Any]]] = [
        ("cron_request_run", {**here, "p_job_id": "a"}),
        ("cron_cancel_request", {**here, "p_id": request}),
        ("cron_set_paused", here),
    ]
    administer: list[tuple[str, dict[str, Any]]] = [
        ("cron_set_member", {**here, "p_user_id": str(project.viewer.user_id), "p_role": "admin"}),
        ("cron_prune", {**here, "p_days": 1}),
    ]
    act: list[tuple[str, dict[str, Any]]] = [
        ("cron_agent_beat", {**me, "p_running": [], "p_state": {}, "p_job_ids": []}),
        ("cron_sync_mirror", {**me, "p_rev": 9, "p_changed": [], "p_job_ids": []}),
        ("cron_claim_requests", {**me, "p_seq": 9, "p_job_ids": ["a"], "p_limit": 9}),
        ("cron_report", {**me, "p_reports": []}),
        ("cron_append_logs", {**me, "p_batches": []}),
    ]
    for person, forbidden in ((project.viewer, [*operate, *administer, *act]), (project.operator, [*administer, *act])):
        caller = await call_as(person)
        for name, arguments in forbidden:
            answer = await caller.rpc(name, **arguments)
            assert (answer.status_code, answer.json()["code"]) == (403, "42501"), (name, answer.text)
        assert (await caller.hello(project.agent_id, p_takeover=True)).status_code == 403
    (row,) = project.sql("select status, cancel_requested_at from cron_run_requests where id = %s", request)
    assert row == {"status": "running", "cancel_requested_at": None}


async def test_an_agent_with_a_stolen_agent_id_is_refused_and_may_not_report_or_log_for_another(
    project: Project, call_as: CallAs
) -> None:
    request = await fill(project, call_as)
    thief = await call_as(project.add_person("agent", agent_id="thief"))
    assert (await thief.hello(project.agent_id, p_takeover=True)).status_code == 403
    assert (await thief.hello("thief")).json()["status"] == "accepted"
    mine = {"p_project": project.project_id, "p_agent": "thief", "p_epoch": 1}
    (run,) = project.sql("select id::text from cron_runs where request_id = %s", request)
    ended = {"job_id": "a", "trigger": "request", "status": "ok", "request_id": request, "claims": 1, "attempt": 1}
    reports = [{**ended, "run_id": str(uuid4())}, {**ended, "run_id": run["id"]}]
    answers = (await thief.rpc("cron_report", **mine, p_reports=reports)).json()["results"]
    assert [each["why"] for each in answers] == ["fenced", "not_yours"]
    piece = {"run_id": run["id"], "seq": 2, "stream": "stdout", "text": "forged"}
    assert (await thief.rpc("cron_append_logs", **mine, p_batches=[piece])).json()["appended"] == 0
    refused = (await thief.sync("thief", {"job_id": "a"})).json()["refused"]
    assert refused == [{"job_id": "a", "agent_id": project.agent_id}]
    claim = await thief.rpc("cron_claim_requests", **mine, p_seq=1, p_job_ids=["a", "*"], p_limit=99)
    assert claim.json()["rows"] == []
    assert project.sql("select status, claimed_by from cron_run_requests where id = %s", request) == [
        {"status": "running", "claimed_by": project.agent_id}
    ]


async def test_two_first_hellos_of_one_member_make_him_one_agent_and_not_two(project: Project, call_as: CallAs) -> None:
    agent = await call_as(project.agent)
    with psycopg.connect(project.stack.dsn) as holder:
        holder.execute("select 1 from cron_project_members where user_id = %s for update", [project.agent.user_id])
        both = [asyncio.create_task(agent.hello(name)) for name in ("one", "two")]
        done, _ = await asyncio.wait(both, timeout=0.5)
        assert not done  # both have passed the check and wait to be bound
        holder.commit()
        answers = await asyncio.gather(*both)
    assert sorted(each.status_code for each in answers) == [200, 403]
    assert len(project.sql("select 1 from cron_agents where project_id = %s", project.project_id)) == 1


@pytest.mark.parametrize("who", ["anon", "outsider"])
async def test_the_key_of_an_open_project_cannot_act_as_an_agent_that_signs_in(
    project: Project, call_as: CallAs, who: str
) -> None:
    """One hello with takeover would stop its schedules for good."""
    await fill(project, call_as)
    project.sql("update cron_projects set open_access = true where project_id = %s", project.project_id)
    stranger = await call_as(project.outsider if who == "outsider" else None)
    answer = await stranger.hello(project.agent_id, p_takeover=True)
    assert answer.json()["code"] == "42501"
    assert "has a user of its own" in answer.json()["message"]
    me = {"p_project": project.project_id, "p_agent": project.agent_id, "p_epoch": 1}
    assert (await stranger.rpc("cron_claim_requests", **me, p_seq=9, p_job_ids=["a"], p_limit=9)).is_error
    assert (await stranger.hello("nobody-signed-in")).json()["role"] == "open_access"
    assert (await stranger.insert()).is_success  # what the opening is for
    agent = await call_as(project.agent)
    assert (await agent.rpc("cron_agent_beat", **me, p_running=[], p_state={}, p_job_ids=[])).json()["due"] == 0


INJECTIONS = (
    "x'; drop table cron_runs; --",
    'x"; drop table cron_runs; --',
    "id::regclass",
    "id)::text, (select encrypted_password from auth.users limit 1",
    "cron_runs, auth.users",
    "pg_sleep(9)",
    "$$; select pg_sleep(9); $$",
    "%s %(x)s {0} {}",
    "\\'; select 1; --",
    "auth.users",
    "pg_catalog.pg_authid",
)


@pytest.mark.parametrize("text", INJECTIONS)
async def test_text_in_any_place_of_a_call_is_a_value_or_refused_and_never_sql(
    project: Project, call_as: CallAs, text: str
) -> None:
    viewer = await call_as(project.viewer)
    here, requests = {"p_project": project.project_id}, "/rest/v1/cron_run_requests"
    asks = [
        *(viewer.http.get(requests, params={name: text}) for name in ("select", "order", "columns")),
        viewer.http.get(f"/rest/v1/{text}"),
        viewer.http.post(f"/rest/v1/rpc/{text}", json={}),
        viewer.http.get(requests, params={text: "eq.1"}),
        viewer.http.get(requests, params={"job_id": f"{text}.1"}),
        viewer.http.get(requests, params={"id": f"in.({text})"}),
        viewer.http.get(requests, headers={"accept-profile": text}),
        viewer.rpc("get_cron_jobs", **here, **{text: 1}),
        viewer.rpc("get_cron_jobs", **here, p_limit=text),
        viewer.rpc("cron_sweep", p_project=text),
    ]
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*asks)
    assert all(answer.status_code >= 400 and answer.status_code != 500 for answer in answers), answers
    assert (await viewer.http.get("/rest/v1/cron_runs", params={"job_id": f"eq.{text}"})).json() == []
