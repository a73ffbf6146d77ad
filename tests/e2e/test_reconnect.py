"""Reconnect from a page, the whole way: an admin's browser, the database, the agent, a provider; and who breaks in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agent.cli.demo.operator import Operator
from agent.errors import Refused
from tests.e2e.conftest import StartAgent, mirrored
from tests.support.oauth_provider import CLIENT_SECRET, OAuthProvider
from tests.support.stack import Person, Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SIGN_IN = {"client_secret": "${DEMO_SECRET}", "grant": "authorization_code"}
PAGE = "http://127.0.0.1:9/callback"
JOBS = """
connections:
  {demo}
jobs:
  sync: {{every: 2s, connection: demo, shell: 'echo "token $DEMO_ACCESS_TOKEN"'}}
"""


@pytest.fixture
async def enter(project: Project) -> AsyncIterator[Any]:
    """Sign somebody in over HTTP; None: with the anon key alone."""
    async with AsyncExitStack() as stack:

        async def enter(person: Person | None) -> Operator:
            someone = Operator(project.url, project.keys.publishable_key, project.project_id)
            await stack.enter_async_context(someone)
            if person is not None:
                await someone.sign_in(person.email, person.password)
            return someone

        yield enter


async def ask(admin: Operator, **more: Any) -> str:
    arguments = {"p_project": admin.project, "p_connection": "demo", "p_redirect_uri": PAGE} | more
    return str((await admin.rpc("cron_reconnect", **arguments))["id"])


async def until(admin: Operator, request: str, *statuses: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        (row,) = await admin.select("cron_connection_requests", id=f"eq.{request}")
        return row if row["status"] in statuses else None

    return await wait_until(look, 45)


async def browse(address: str) -> dict[str, str]:
    """What the provider sends the browser back with, after the person said yes."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(address)
    back = answer.headers["location"]
    assert back.startswith(PAGE)
    return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


async def hand_over(caller: Operator, request: str, back: dict[str, str]) -> Any:
    return await caller.rpc(
        "cron_reconnect_code", p_project=caller.project, p_id=request, p_state=back["state"], p_code=back["code"]
    )


async def refused(attempt: Any) -> bool:
    try:
        answer = await attempt
    except Refused as error:
        return error.status in (400, 401, 403)
    return answer in ([], {"code": None}) or (isinstance(answer, dict) and answer.get("outcome") == "closed")


async def test_an_admin_reconnects_and_the_held_job_runs(
    start_agent: StartAgent, project: Project, operator: Operator, enter: Any
) -> None:
    admin = await enter(project.admin)
    attackers = [await enter(each) for each in (None, project.viewer, project.operator, project.outsider)]
    attackers.append(await enter(project.add_person("agent", agent_id="studio")))
    with OAuthProvider() as provider:
        agent = start_agent(JOBS.format(demo=provider.yaml(**SIGN_IN)), DEMO_SECRET=CLIENT_SECRET)
        await mirrored(operator)
        await wait_until(lambda: admin.select("cron_connections", needs_reauth="is.true"))
        await wait_until(lambda: admin.select("cron_runs", status="eq.missed", reason="eq.needs_reauth", limit="1"))

        request = await ask(admin)
        waiting = await until(admin, request, "waiting")
        back = await browse(waiting["authorization_url"])
        assert back["state"] == waiting["state"]
        for attacker in attackers:
            assert await refused(attacker.select("cron_connection_requests"))
            assert await refused(attacker.select("cron_connection_codes"))
            assert await refused(ask(attacker))
            assert await refused(hand_over(attacker, request, back))
            for name, arguments in (
                ("cron_reconnect_take", {}),
                ("cron_reconnect_answer", {"p_answer": {"authorization_url": "https://evil/", "state": back["state"]}}),
            ):
                who = {"p_project": project.project_id, "p_agent": "mac", "p_epoch": 1, "p_id": request}
                assert await refused(attacker.rpc(name, **who, **arguments)), name
        assert await refused(hand_over(admin, request, back | {"state": "x" * 32}))

        await hand_over(admin, request, back)
        assert (await until(admin, request, "done", "error"))["error"] is None
        (row,) = await admin.select("cron_connections")
        assert (row["needs_reauth"], row["is_active"], row["last_refresh_error"]) == (False, True, None)
        assert row["last_refresh_at"] is not None
        await wait_until(lambda: admin.select("cron_runs", status="eq.ok", trigger="eq.catch_up", limit="1"))
        assert await refused(hand_over(admin, request, back)), "a code is given once"

        dump = str(
            project.sql(
                "select to_jsonb(r) from cron_connection_requests r union all select to_jsonb(c) from "
                "cron_connections c union all select to_jsonb(a) from cron_audit a"
            )
        )
        secrets = [token.access_token for token in provider.given] + [token.refresh_token for token in provider.given]
        for secret in [*filter(None, secrets), back["code"], back["state"]]:
            assert secret not in dump
        assert project.sql("select * from cron_connection_codes") == []
        assert back["code"] not in agent.log.read_text()


async def test_another_account_is_refused_unless_the_admin_says_so(
    start_agent: StartAgent, project: Project, operator: Operator, enter: Any
) -> None:
    admin = await enter(project.admin)
    with OAuthProvider() as provider:
        start_agent(JOBS.format(demo=provider.yaml(**SIGN_IN)), DEMO_SECRET=CLIENT_SECRET)
        await mirrored(operator)
        await wait_until(lambda: admin.select("cron_connections"))

        async def sign_in_as(user: str, **more: Any) -> dict[str, Any]:
            provider.user = user
            request = await ask(admin, **more)
            back = await browse((await until(admin, request, "waiting"))["authorization_url"])
            await hand_over(admin, request, back)
            return await until(admin, request, "done", "error")

        assert (await sign_in_as("me@example.com"))["status"] == "done"
        assert "another account" in (await sign_in_as("other@example.com"))["error"]
        assert (await admin.select("cron_connections"))[0]["account"] == "me@example.com"
        assert (await sign_in_as("other@example.com", p_other_account_ok=True))["status"] == "done"
        assert (await admin.select("cron_connections"))[0]["account"] == "other@example.com"
