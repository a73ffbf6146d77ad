"""Pause and resume on the box while a real agent runs, restarts, and operators pause too."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import ROOT, AgentProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = "jobs:\n  hello: {run: [echo, hello]}\n  tick: {every: 1s, run: [echo, tick]}\n"


async def test_a_box_is_paused_shown_restarted_and_resumed(start_agent: StartAgent, operator: Operator) -> None:
    agent = start_agent(JOBS)
    await mirrored(operator, 2, timeout=40)
    assert "paused" in await cronmirror(agent, "pause", "--until", "2h")
    await agent.wait_event("paused on this box", timeout=3)
    await wait_until(lambda: shown(operator, "all"))
    assert await cronmirror(agent, "exec", "hello") == "hello\n"
    request = await operator.press_run("hello")
    await wait_until(lambda: missed(operator, "paused"))
    assert await asyncio.to_thread(agent.stop) == 0
    agent.log.unlink()
    agent.start()
    await agent.wait_event("paused on this box")
    await agent.wait_event("Supabase knows this agent")
    await wait_until(lambda: missed(operator, "paused", 3))
    assert (await operator.request(request["id"]))["status"] == "queued"
    assert not agent.events("run started")

    await operator.rpc("cron_set_paused", p_mode="schedule")
    await agent.wait_event("paused", timeout=20)
    said = await cronmirror(agent, "resume")
    assert "operators have paused schedule of project" in said
    assert (await ended(operator, request["id"], timeout=5))["status"] == "done"
    await wait_until(lambda: shown(operator, None))
    assert {event["job"] for event in agent.events("run started")} == {"hello"}


async def cronmirror(agent: AgentProcess, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", *arguments),
        *("--config", str(agent.config), "--state-dir", str(agent.state)),
        cwd=ROOT,
        env=agent.environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def shown(operator: Operator, mode: str | None) -> bool:
    (row,) = await operator.select("cron_agents")
    return row["box_paused_mode"] == mode


async def missed(operator: Operator, reason: str, count: int = 1) -> list[dict[str, Any]]:
    rows = await operator.select("cron_runs", status="eq.missed", reason=f"eq.{reason}")
    return rows if len(rows) >= count else []
