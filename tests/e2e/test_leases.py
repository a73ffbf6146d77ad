"""Leases seen from outside: an agent that dies, freezes or is cut off while it holds a request, and its late result.

A lease is a minute. Nobody waits for it here: `gone_silent` writes into the database that the minute has passed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import ROOT, AgentProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import alive
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

PATIENCE_S = 60.0
"""All of it takes seconds; a machine that has other things to do takes longer."""
SHARED = """
defaults: {{placement: any}}
jobs:
  work:
    shell: 'echo $CRONMIRROR_RUN_ID >> {marks}; until [ -e {marks}.go ]; do sleep 0.05; done'
    retry: {{max_attempts: 2, on: [lost], base: 10ms, cap: 10ms}}
    overlap: allow
  nudge: {{run: ['true']}}
"""
MINE = """
jobs:
  work: {{shell: 'echo $CRONMIRROR_RUN_ID >> {marks}; until [ -e {marks}.go ]; do sleep 0.05; done', overlap: allow}}
  stray:
    shell: "setsid sh -c 'echo $$ >> {marks}; sleep 301; true' & echo $$ >> {marks}; sleep 301; true"
"""


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where jobs write what they are; `work` goes on until `<marks>.go` is there."""
    return tmp_path / "marks"


def noted(marks: Path) -> list[str]:
    return marks.read_text().split() if marks.exists() else []


def gone_silent(project: Any, agent: str) -> None:
    """Its last beat was 61 s ago, its leases have run out, and everybody else has been here all the time."""
    where = (project.project_id, agent)
    project.sql(
        "update cron_agent_beats set last_seen_at = last_seen_at - interval '61 s' "
        "where project_id = %s and agent_id = %s",
        *where,
    )
    project.sql(
        "update cron_agent_beats set beating_since = beating_since - interval '1 h' "
        "where project_id = %s and agent_id <> %s",
        *where,
    )
    project.sql(
        "update cron_leases l set expires_at = now() - interval '1 s' from cron_run_requests r "
        "where r.id = l.request_id and r.project_id = %s and l.agent_id = %s",
        *where,
    )
    project.sql(
        "update cron_projects set swept_at = now() - interval '11 s', swept_since = now() - interval '1 h' "
        "where project_id = %s",
        project.project_id,
    )


async def running_on(operator: Operator, request: str, agent: str) -> None:
    """The request's run has begun there, and its start was reported."""

    async def look() -> bool:
        runs = await operator.select("cron_runs", request_id=f"eq.{request}")
        return any(run["agent_id"] == agent and run["status"] == "running" for run in runs)

    await wait_until(look, PATIENCE_S)


async def attempts(operator: Operator, request: str) -> list[tuple[int, str, str]]:
    runs = await operator.select("cron_runs", request_id=f"eq.{request}", order="attempt")
    return [(run["attempt"], run["agent_id"], run["status"]) for run in runs]


def local_runs(agent: AgentProcess) -> list[dict[str, Any]]:
    """What `cronmirror runs` knows, on that box."""
    where = ["--config", str(agent.config), "--state-dir", str(agent.state), "--json"]
    said = subprocess.run(
        [sys.executable, "-m", "agent", "runs", *where],
        cwd=ROOT,
        env=agent.environment(),
        capture_output=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(said.stdout)
    return found


async def fenced_once(agent: AgentProcess, job: str) -> None:
    """Its late result was refused, is kept on the box with the reason, and was said once."""
    await agent.wait_event("report rejected; the run is kept locally", timeout=PATIENCE_S)
    kept = [run for run in await asyncio.to_thread(local_runs, agent) if run["job_id"] == job and run["rejected"]]
    assert [(run["rejected"], run["status"] == "running") for run in kept] == [("fenced", False)]
    said = agent.events("report rejected; the run is kept locally")
    assert [(line["why"], line["run"]) for line in said] == [("fenced", kept[0]["run_id"])]


async def test_a_page_gives_up_what_a_dead_agent_held(
    start_agent: StartAgent, operator: Operator, project: Any, marks: Path
) -> None:
    agent = start_agent(MINE.format(marks=marks))
    await mirrored(operator, 2, PATIENCE_S)
    request = (await operator.press_run("work"))["id"]
    await running_on(operator, request, "mac")
    agent.kill()

    await operator.rpc("cron_sweep")
    assert (await operator.request(request))["status"] == "running"
    gone_silent(project, "mac")
    assert (await operator.rpc("cron_sweep"))["rescued"] == 1

    row = await operator.request(request)
    assert (row["status"], row["result"]["reason"], row["result"]["agent_id"]) == ("error", "lost", "mac")
    assert await attempts(operator, request) == [(1, "mac", "lost")]
    marks.with_name("marks.go").touch()


async def test_what_a_frozen_agent_held_runs_elsewhere_and_its_late_result_changes_nothing(
    start_agent: StartAgent, operator: Operator, project: Any, marks: Path
) -> None:
    jobs = SHARED.format(marks=marks)
    frozen = start_agent(jobs, agent="one")
    await mirrored(operator, 2, PATIENCE_S)
    request = (await operator.press_run("work"))["id"]
    await running_on(operator, request, "one")
    user = project.add_person("agent")
    rescuer = start_agent(jobs, agent="two", run=False, AGENT_PASSWORD=user.password)
    rescuer.write_config(rescuer.head.replace(project.agent.email, user.email) + jobs)
    rescuer.start()
    served = "select 1 from cron_mirror where project_id = %s and job_id = 'work' and 'two' = any (agent_ids)"
    await wait_until(lambda: project.sql(served, project.project_id), PATIENCE_S)

    frozen.signal(signal.SIGSTOP)
    try:
        gone_silent(project, "one")
        nudge = (await operator.press_run("nudge"))["id"]
        assert (await ended(operator, nudge, PATIENCE_S))["result"]["agent_id"] == "two"
        await running_on(operator, request, "two")
        marks.with_name("marks.go").touch()
        row = await ended(operator, request, PATIENCE_S)
    finally:
        frozen.signal(signal.SIGCONT)
    await fenced_once(frozen, "work")

    assert (row["status"], row["result"]["agent_id"], row["attempts"]) == ("done", "two", 2)
    assert await operator.request(request) == row
    assert await attempts(operator, request) == [(1, "one", "lost"), (2, "two", "ok")]
    assert len(noted(marks)) == 2


async def test_a_result_from_behind_a_black_hole_counts_unless_the_request_was_given_up(
    start_agent: StartAgent, operator: Operator, project: Any, marks: Path
) -> None:
    async with FaultProxy(project.url) as proxy:
        agent = start_agent(MINE.format(marks=marks), url=proxy.url)
        await mirrored(operator, 2, PATIENCE_S)
        request = (await operator.press_run("work"))["id"]
        await running_on(operator, request, "mac")

        proxy.swallow()
        marks.with_name("marks.go").touch()
        await agent.wait_event("run ended", timeout=PATIENCE_S)
        gone_silent(project, "mac")
        assert (await operator.request(request))["status"] == "running"
        proxy.flow()
        assert (await ended(operator, request, PATIENCE_S))["status"] == "done"

        marks.with_name("marks.go").unlink()
        request = (await operator.press_run("work"))["id"]
        await running_on(operator, request, "mac")
        proxy.swallow()
        marks.with_name("marks.go").touch()
        await agent.wait_event("run ended", count=2, timeout=PATIENCE_S)
        gone_silent(project, "mac")
        assert (await operator.rpc("cron_sweep"))["rescued"] == 1
        proxy.flow()
        await fenced_once(agent, "work")

        row = await operator.request(request)
        assert (row["status"], row["result"]["reason"]) == ("error", "lost")
        await asyncio.to_thread(agent.stop)


async def test_a_restart_reports_lost_at_once_and_ends_what_survived_in_any_session(
    start_agent: StartAgent, operator: Operator, marks: Path
) -> None:
    agent = start_agent(MINE.format(marks=marks))
    await mirrored(operator, 2, PATIENCE_S)
    request = (await operator.press_run("stray"))["id"]
    await running_on(operator, request, "mac")
    pids = [int(each) for each in await wait_until(lambda: len(noted(marks)) == 2 and noted(marks), PATIENCE_S)]
    agent.kill()
    assert all(alive(pid) for pid in pids)

    agent.start()

    row = await ended(operator, request, PATIENCE_S)
    assert (row["status"], row["result"]["reason"]) == ("error", "lost")
    assert not [pid for pid in pids if alive(pid)]
    assert await attempts(operator, request) == [(1, "mac", "lost")]
