"""Wrong key, password, address or project: the log says what to do, the schedule goes on, a mended fault is noticed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import ROOT, AgentProcess
from tests.support.door import Door
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    """The file to which the scheduled job of `jobs` appends the id of each run."""
    return tmp_path / "ticks"


@pytest.fixture
def jobs(ticks: Path) -> str:
    return f"""sync: {{mirror_every: 30s, poll_every: 2s}}
jobs:
  hello: {{run: [echo, hello]}}
  tick: {{every: 1s, shell: 'echo $CRONMIRROR_RUN_ID >> {ticks}'}}
"""


async def test_an_address_where_nobody_or_somebody_else_answers_is_named_and_left_as_soon_as_it_is_right(
    start_agent: StartAgent, operator: Operator, project: Any, jobs: str, ticks: Path
) -> None:
    async with Door(project.url) as door:
        agent = start_agent(jobs, url=door.url)
        nobody = await _complaint(agent, f"{door.url} could not be reached")
        assert nobody["level"] == "warning"
        await _ticks(ticks, 2)

        await door.mislead()
        stranger = await _complaint(agent, "which Supabase")
        assert "supabase.url" in stranger["hint"]
        await _ticks(ticks, 2)

        await door.open()
        await mirrored(operator, 2, timeout=45)
        row = await ended(operator, (await operator.press_run("hello"))["id"])
        assert row["status"] == "done"
        assert await asyncio.to_thread(agent.stop) == 0
    await _all_reported(operator, ticks)


async def test_a_wrong_key_is_told_with_where_the_right_one_is(
    start_agent: StartAgent, operator: Operator, project: Any, jobs: str, ticks: Path
) -> None:
    agent = start_agent(jobs, SUPABASE_KEY="sb_publishable_of_another_project")
    said = await _complaint(agent, "refused the API key")
    assert said["level"] == "error"
    assert "supabase.key" in said["hint"]
    await _ticks(ticks, 2)

    env_file = agent.folder / "agent.env"
    text = env_file.read_text().replace("sb_publishable_of_another_project", project.keys.publishable_key)
    env_file.write_text(text)
    later = await agent.wait_event("some changes take effect after a restart")
    assert "supabase" in later["sections"]
    assert await asyncio.to_thread(agent.stop) == 0
    agent.start()
    await mirrored(operator, 2)
    assert await asyncio.to_thread(agent.stop) == 0
    await _all_reported(operator, ticks)


async def test_a_wrong_password_is_told_and_a_login_from_another_terminal_mends_it(
    start_agent: StartAgent, operator: Operator, project: Any, jobs: str, ticks: Path
) -> None:
    agent = start_agent(jobs, AGENT_PASSWORD="not-the-right-one")
    said = await _complaint(agent, "refused to sign in")
    assert said["level"] == "error"
    assert "supabase.password" in said["hint"]
    assert "not-the-right-one" not in agent.log.read_text()
    await _ticks(ticks, 2)

    login = await asyncio.to_thread(_login, agent, project.agent.password)
    assert login.returncode == 0, login.stderr
    await mirrored(operator, 2, timeout=45)
    assert await asyncio.to_thread(agent.stop) == 0
    await _all_reported(operator, ticks)


async def test_an_agent_that_is_no_member_of_its_project_says_so_and_begins_once_it_is(
    start_agent: StartAgent, operator: Operator, project: Any, jobs: str, ticks: Path
) -> None:
    member = {"project": project.project_id, "user": project.agent.user_id}
    project.sql("delete from cron_project_members where user_id = %s", member["user"])
    agent = start_agent(jobs)
    said = await _complaint(agent, f'not a member of project "{project.project_id}"')
    assert said["level"] == "error"
    assert project.agent.email in said["hint"]
    assert "admin" in said["hint"]
    await _ticks(ticks, 2)

    project.sql(
        "insert into cron_project_members (project_id, user_id, role) values (%s, %s, 'agent')", *member.values()
    )
    await mirrored(operator, 2, timeout=45)
    assert await asyncio.to_thread(agent.stop) == 0
    await _all_reported(operator, ticks)


async def _complaint(agent: AgentProcess, words: str) -> dict[str, Any]:
    """The first line of the log, warning or worse, that has these words in what it tells."""

    def look() -> dict[str, Any] | None:
        for line in agent.events():
            told = f"{line.get('error', '')} {line.get('why', '')}"
            if words in told and line["level"] in ("warning", "error") and line.get("hint", True):
                return line
        return None

    try:
        found: dict[str, Any] = await wait_until(look, 40)
    except AssertionError:
        raise AssertionError(f"nobody said {words!r}:\n{agent.log.read_text()[-3000:]}") from None
    return found


async def _ticks(file: Path, more: int) -> None:
    """Wait until the schedule has run `more` times from now on."""
    before = len(_lines(file))
    await wait_until(lambda: len(_lines(file)) >= before + more)


async def _all_reported(operator: Operator, ticks: Path) -> None:
    """Whatever ran while nobody listened is told afterwards, once."""
    runs = await operator.select("cron_runs", job_id="eq.tick", status="eq.ok", limit="500")
    ran = _lines(ticks)
    assert sorted(run["id"] for run in runs) == sorted(ran)
    assert len(set(ran)) == len(ran)
    assert len({run["scheduled_for"] for run in runs}) == len(runs)


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def _login(agent: AgentProcess, password: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "login", "--config", str(agent.config), "--state-dir", str(agent.state)],
        cwd=ROOT,
        env={**agent.environment(), "PATH": os.environ["PATH"]},
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
