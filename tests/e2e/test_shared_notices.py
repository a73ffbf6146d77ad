"""Two real agents that share a job which fails on both: people hear of it once, and once that it works again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.http_server import plain, serving
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

JOBS = """\
notify: {{channels: {{hook: "${{HOOK}}"}}}}
jobs:
  flaky: {{shell: "test -e {flag}", placement: any}}
"""


@contextmanager
def frozen(agent: AgentProcess) -> Iterator[None]:
    """The other one runs what is asked for meanwhile."""
    agent.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.signal(signal.SIGCONT)


async def test_a_job_that_fails_on_two_agents_and_works_again_on_the_second_is_two_messages(
    start_agent: StartAgent, operator: Operator, project: Any, tmp_path: Path
) -> None:
    flag = tmp_path / "works"
    jobs = JOBS.format(flag=flag)

    async def runs_on(agent: str) -> None:
        row = await ended(operator, (await operator.press_run("flaky"))["id"])
        assert row["result"]["agent_id"] == agent

    async def brought_out(count: int) -> list[tuple[str, dict[str, Any]]]:
        rows = await operator.select("cron_notifications", order="filed_at")
        found = [(row["type"], row["deliveries"]) for row in rows]
        return found if len(found) >= count and all(each for _, each in found) else []

    async with serving(plain(b"")) as hook:
        secrets = {"HOOK": f"json://{hook.url.removeprefix('http://')}/hook"}
        one = start_agent(jobs, agent="one", **secrets)
        await mirrored(operator)
        user = project.add_person("agent")
        two = start_agent(jobs, agent="two", run=False, AGENT_PASSWORD=user.password, **secrets)
        two.write_config(two.head.replace(project.agent.email, user.email) + jobs)
        two.start()
        served = "select 1 from cron_mirror where project_id = %s and 'two' = any (agent_ids)"
        await wait_until(lambda: project.sql(served, project.project_id), 60)

        with frozen(two):
            await runs_on("one")
            await wait_until(lambda: brought_out(1), 60)
        with frozen(one):
            await runs_on("two")
            flag.touch()
            await runs_on("two")
        rows = await wait_until(lambda: brought_out(2), 60)

    assert [json.loads(each.body)["title"] for each in hook.asked] == ["flaky failed", "flaky works again"]
    states = [(kind, {channel: each["state"] for channel, each in sent.items()}) for kind, sent in rows]
    assert states == [("job_failed", {"one/hook": "sent"}), ("job_recovered", {"one/hook": "sent"})]
