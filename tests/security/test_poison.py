"""Rows that are allowed to be written and meant to harm whoever reads them: agents, sweeps, pages, other members."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.security.conftest import CallAs, Caller
from tests.support.stack import Project

UNREADABLE = {
    "a number of 120,000 digits": '{"n": 1e120000}',
    "a negative one": '{"n": [{"m": -1e4301}]}',
    "101 brackets": "[" * 102 + "]" * 102,
    "900 braces": '{"a":' * 900 + "1" + "}" * 900,
}


async def ask(caller: Caller, payload: str):
    body = f'{{"p_project": "{caller.project.project_id}", "p_job_id": "a", "p_payload": {payload}}}'
    return await caller.http.post(
        "/rest/v1/rpc/cron_request_run", content=body, headers={"content-type": "application/json"}
    )


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_payload_that_no_json_reader_could_take_in_never_reaches_the_queue(
    project: Project, call_as: CallAs, payload: str
) -> None:
    """Postgres holds it, and the agent that claimed it could not read the answer, now and after every restart."""
    refused = await ask(await call_as(project.operator), payload)
    assert (refused.status_code, refused.json()["code"]) == (400, "22023")
    assert refused.json()["message"].startswith("the payload ")
    with pytest.raises(Exception, match=r"the payload (is nested|has a number)"):
        project.sql(
            "insert into cron_run_requests (project_id, job_id, payload) values (%s, 'a', %s::jsonb)",
            *(project.project_id, payload),
        )


async def test_what_people_really_send_passes(project: Project, call_as: CallAs) -> None:
    operator = await call_as(project.operator)
    for payload in ("[" * 100 + "]" * 100, '{"n": 1e300, "m": -9007199254740993, "t": "' + "9" * 5000 + '"}'):
        assert (await ask(operator, payload)).status_code == 200


async def test_who_asked_and_what_for_hold_no_line_breaks_or_escape_sequences(
    project: Project, call_as: CallAs
) -> None:
    operator = await call_as(project.operator)
    assert (await operator.insert(requested_by="ui\n2026 ERROR\x1b[2Jforged")).is_success
    (row,) = project.sql("select requested_by from cron_run_requests where project_id = %s", project.project_id)
    assert row["requested_by"] == "ui 2026 ERROR [2Jforged"
    for job_id in ("a\nb", "\x1b[2J", "a\tb"):
        refused = await operator.insert(job_id=job_id)
        assert (refused.status_code, refused.json()["code"]) == (400, "22023")


async def test_nobody_asks_in_another_members_name(project: Project, call_as: CallAs) -> None:
    operator = await call_as(project.operator)
    await operator.insert(requested_by=project.admin.email)
    await operator.rpc(
        "cron_request_run", p_project=project.project_id, p_job_id="a", p_requested_by=f" {project.admin.email} "
    )
    rows = project.sql("select requested_by from cron_run_requests where project_id = %s", project.project_id)
    assert [row["requested_by"] for row in rows] == [project.operator.email] * 2
    actors = project.sql("select actor from cron_audit where project_id = %s", project.project_id)
    assert {row["actor"] for row in actors} == {project.operator.user_id}


@pytest.mark.parametrize("wait", ["1e300", "1e120000", "-1", "604801"])
async def test_one_agents_retry_rule_cannot_break_the_sweep_of_all(
    project: Project, call_as: CallAs, wait: str
) -> None:
    """The wait is computed where a request is lost, in somebody else's beat or press of Run."""
    agent = await call_as(project.agent)
    await agent.hello(project.agent_id)
    body = (
        f'{{"p_project": "{project.project_id}", "p_agent": "{project.agent_id}", "p_epoch": 1, "p_rev": 1, '
        f'"p_job_ids": null, "p_changed": [{{"job_id": "a", "name": "a", "enabled": true, '
        f'"retry": {{"max_attempts": 9, "on": ["lost"], "base_s": {wait}, "cap_s": {wait}}}}}]}}'
    )
    refused = await agent.http.post(
        "/rest/v1/rpc/cron_sync_mirror", content=body, headers={"content-type": "application/json"}
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "22023")
    assert "seven days" in refused.json()["message"]


async def test_the_largest_wait_that_is_taken_survives_being_lost_a_hundred_times(
    project: Project, call_as: CallAs
) -> None:
    agent = await call_as(project.agent)
    await agent.hello(project.agent_id)
    rule = {"max_attempts": 100, "on": ["lost"], "base_s": 604800, "cap_s": 604800}
    assert (await agent.sync(project.agent_id, {"job_id": "a", "retry": rule})).is_success
    request = str(uuid4())
    await (await call_as(project.operator)).insert(id=request)
    running = "update cron_run_requests set status = 'running', claimed_by = 'x', attempts = 99 where id = %s"
    project.sql(running, request)
    project.sql("select cron_lose_requests(array[%s::uuid])", request)
    soon = "select status, run_at < now() + interval '8 days' as soon from cron_run_requests where id = %s"
    (row,) = project.sql(soon, request)
    assert row == {"status": "queued", "soon": True}


async def test_a_dedupe_key_or_an_id_of_another_project_tells_nothing_about_it(
    project: Project, call_as: CallAs
) -> None:
    operator, stranger = await call_as(project.operator), await call_as(project.outsider)
    secret = {"p_job_id": "a", "p_payload": {"pin": 1234}, "p_dedupe_key": "invoice-7", "p_id": str(uuid4())}
    assert (await operator.rpc("cron_request_run", p_project=project.project_id, **secret)).is_success
    asked = {"p_project": project.other_project_id, "p_job_id": "a", "p_dedupe_key": "invoice-7"}
    assert (await stranger.rpc("cron_request_run", **asked)).json()["existing"] is False
    taken = await stranger.rpc("cron_request_run", **{**asked, "p_dedupe_key": "other", "p_id": secret["p_id"]})
    assert taken.status_code == 400
    assert "1234" not in taken.text
    assert project.project_id not in taken.text
    cancelled = await stranger.rpc("cron_cancel_request", p_project=project.other_project_id, p_id=secret["p_id"])
    assert cancelled.status_code == 400


async def test_huge_limits_and_prunes_do_not_take_more_than_their_share(project: Project, call_as: CallAs) -> None:
    viewer, admin = await call_as(project.viewer), await call_as(project.admin)
    project.sql(
        "insert into cron_runs (id, project_id, job_id, agent_id, trigger, status, started_at, finished_at) "
        "select gen_random_uuid(), %s, 'a', 'x', 'request', 'ok', now() - interval '3 days', now() - interval '3 days' "
        "from generate_series(1, 1200)",
        project.project_id,
    )
    runs = await viewer.rpc("get_cron_job_runs", p_project=project.project_id, limit_count=2_147_483_647)
    assert len(runs.json()) == 1000
    assert len(await viewer.rows("cron_runs", limit="999999999999")) == 1000
    pruned = await admin.rpc("cron_prune", p_project=project.project_id, p_days=1)
    assert (pruned.json()["deleted"], pruned.json()["left"]) == (1000, 200)
    assert (await admin.rpc("cron_prune", p_project=project.project_id, p_days=-1)).status_code == 400
