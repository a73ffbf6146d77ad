"""The whole thing: embedded Postgres and gateway, a real agent process, a signed-in operator over HTTP."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_until

PAGE_CLIENT = Path(__file__).parents[1] / "page" / "node_modules"
if not PAGE_CLIENT.is_dir() and os.environ.get("CRONMIRROR_REQUIRE_PAGE") == "1":
    raise pytest.UsageError(f"{PAGE_CLIENT} is missing: scripts/install-page-client .venv")
collect_ignore = [] if PAGE_CLIENT.is_dir() else ["test_page.py"]

HEAD = """\
project: {project}
agent: {{id: {agent}}}
supabase: {{url: "${{SUPABASE_URL}}", key: "${{SUPABASE_KEY}}", email: "{email}", password: "${{AGENT_PASSWORD}}"}}
"""

StartAgent = Callable[..., AgentProcess]


@pytest.fixture
def start_agent(project: Any, tmp_path: Path) -> Iterator[StartAgent]:
    """Start an agent with these jobs (YAML); every one started is ended after the test."""
    agents: list[AgentProcess] = []

    def start(
        jobs: str, *, agent: str = "mac", url: str | None = None, run: bool = True, **secrets: str
    ) -> AgentProcess:
        head = HEAD.format(project=project.project_id, agent=agent, email=project.agent.email)
        given = {
            "SUPABASE_URL": url or project.url,
            "SUPABASE_KEY": project.keys.publishable_key,
            "AGENT_PASSWORD": project.agent.password,
            **secrets,
        }
        process = AgentProcess(tmp_path / f"{agent}-{len(agents)}", head + jobs, given)
        process.head = head
        agents.append(process)
        return process.start() if run else process

    yield start
    for each in agents:
        each.stop()


@pytest.fixture
async def operator(project: Any) -> AsyncIterator[Operator]:
    async with Operator(project.url, project.keys.publishable_key, project.project_id) as someone:
        await someone.sign_in(project.operator.email, project.operator.password)
        yield someone


async def ended(operator: Operator, request_id: str, timeout: float = 45) -> dict[str, Any]:
    """The request's row once it is `done` or `error`."""

    async def look() -> dict[str, Any] | None:
        row = await operator.request(request_id)
        return row if row["status"] in ("done", "error") else None

    return await wait_until(look, timeout)


async def mirrored(operator: Operator, count: int = 1, timeout: float = 45) -> list[dict[str, Any]]:
    """The mirror's rows once there are `count` of them and the agent hears Realtime."""

    async def look() -> list[dict[str, Any]]:
        jobs = await operator.select("cron_mirror", order="job_id")
        agents = await operator.select("cron_agents")
        connected = any(each["realtime"] == "connected" and each["state"] == "online" for each in agents)
        return jobs if len(jobs) >= count and connected else []

    return await wait_until(look, timeout)
