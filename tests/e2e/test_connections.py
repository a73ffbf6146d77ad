"""A job and its connection, the whole way: held, signed in by the command line, caught up, refreshed, revoked, held.

That its tokens are nowhere else (logs, rows, command lines) is looked at after every session: `tests.support.secrecy`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.oauth_provider import CLIENT_SECRET, OAuthProvider, broken
from tests.support.person import cronmirror
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = """
connections:
  {demo}
jobs:
  sync: {{every: 2s, connection: demo, shell: 'echo "token $DEMO_ACCESS_TOKEN"; sleep 1'}}
"""


async def test_a_job_is_held_until_somebody_signs_in_and_again_when_that_is_revoked(
    start_agent: StartAgent, operator: Operator
) -> None:
    with OAuthProvider(lifetime_s=9) as provider:
        connection = provider.yaml(client_secret="${DEMO_SECRET}", grant="authorization_code")
        agent = start_agent(JOBS.format(demo=connection), DEMO_SECRET=CLIENT_SECRET)
        await mirrored(operator)
        await wait_until(lambda: rows(operator, status="missed", reason="needs_reauth"))
        request = await operator.press_run("sync")
        refused = await ended(operator, request["id"])
        assert (refused["status"], refused["result"]["reason"]) == ("error", "needs_reauth")
        assert "cronmirror connections login demo" in refused["result"]["error"]
        assert not agent.events("run started")

        assert "signed in to demo as ada@example.com" in await sign_in(agent)

        (caught_up,) = await wait_until(lambda: rows(operator, status="ok", trigger="catch_up"))
        assert caught_up["reason"] == "needs_reauth"
        await wait_until(lambda: rows(operator, status="ok", trigger="schedule"))
        provider.faults.extend([broken(), broken()])
        await wait_until(lambda: agent.events("token refreshed"))
        for run in await operator.select("cron_runs", status="eq.ok"):
            assert run["output"] == "token ***\n"

        assert "are gone here and at the provider's" in await revoke(agent)

        assert not any(provider.accepts(each.access_token) for each in provider.given)
        now = datetime.now(UTC).isoformat()
        held = {"status": "missed", "reason": "needs_reauth", "trigger": "schedule"}
        await wait_until(lambda: rows(operator, **held, after=now))
        (standing,) = await wait_until(lambda: operator.select("cron_connections", needs_reauth="is.true"))
        assert (standing["is_active"], standing["token_expires_at"]) == (False, None)


async def rows(operator: Operator, after: str | None = None, **values: str) -> list[dict[str, Any]]:
    wanted = {name: f"eq.{value}" for name, value in values.items()}
    if after:
        wanted["scheduled_for"] = f"gt.{after}"
    return await operator.select("cron_runs", limit="1", **wanted)


async def sign_in(agent: AgentProcess) -> str:
    """`cronmirror connections login demo` beside the agent, and a person who goes where it says; what it said."""
    process = await cronmirror(agent, "connections", "login", "demo")
    shown = await wait_until(lambda: re.search(r"^\s*(http://\S+)\n", process.err, re.MULTILINE))
    async with httpx.AsyncClient(follow_redirects=True) as browser:
        await browser.get(shown[1])
    assert await process.ended() == 0, process.err
    return process.out


async def revoke(agent: AgentProcess) -> str:
    """`cronmirror connections revoke demo` beside the agent; what it said."""
    process = await cronmirror(agent, "connections", "revoke", "demo")
    assert await process.ended() == 0, process.err
    return process.out
