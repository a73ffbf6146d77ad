"""Three agents share jobs: each slot and each request runs on exactly one of them, whatever happens to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import HEAD
from tests.support.agent_process import AgentProcess
from tests.support.door import Door
from tests.support.ledger import Ledger, Work, mark_script
from tests.support.stack import Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

EVERY_S = 2


def shared_work(mark: Path) -> Work:
    return Work(
        yaml=f"""limits: {{concurrency: 4}}
jobs:
  tick: {{every: {EVERY_S}s, run: [{mark}], placement: any, overlap: allow, catch_up: all}}
  quick: {{run: [{mark}, "0.1"], placement: any, overlap: allow}}
""",
        every_s={"tick": EVERY_S},
    )


def cut_off(agent: AgentProcess) -> int:
    """Slots that it missed because it could not ask."""
    return sum(event["slots"] for event in agent.events("slots missed") if event["cause"] == "offline")


@pytest.fixture
def agents(project: Project, tmp_path: Path) -> Iterator[list[AgentProcess]]:
    started: list[AgentProcess] = []
    yield started
    for each in started:
        each.stop()


def start(project: Project, folder: Path, name: str, url: str, jobs: str) -> AgentProcess:
    """An agent with a user of its own, for which a slot is late after 3 s."""
    person = project.add_person("agent")
    head = HEAD.format(project=project.project_id, agent=name, email=person.email)
    given = {
        "SUPABASE_URL": url,
        "SUPABASE_KEY": project.keys.publishable_key,
        "AGENT_PASSWORD": person.password,
    }
    process = AgentProcess(folder / name, head + jobs, given)
    process.module = "tests.support.impatient"
    return process.start()


async def test_each_slot_and_each_request_runs_once_while_one_is_killed_and_supabase_comes_and_goes(
    project: Project, tmp_path: Path, agents: list[AgentProcess]
) -> None:
    ledger = Ledger(project, tmp_path, shared_work(mark_script(tmp_path)))

    def served_by() -> int:
        rows = project.sql("select agent_ids from cron_mirror where project_id = %s", project.project_id)
        return min((len(row["agent_ids"]) for row in rows), default=0)

    def ok(reason: str | None = None) -> int:
        return sum(
            run["job_id"] == "tick" and run["status"] == "ok" and run["reason"] == reason for run in ledger.runs()
        )

    async with Door(project.url) as door:
        await door.open()
        agents += [start(project, tmp_path, name, door.url, ledger.jobs) for name in ("one", "two", "three")]
        await wait_until(lambda: served_by() == 3, 40)
        for _ in range(60):
            ledger.press("quick")
        await wait_until(lambda: ok() >= 2, 30)
        agents[2].kill()
        agents[2].wait()
        agents[2].start()
        await ledger.settled(80)

        await door.shut()
        await wait_until(lambda: all(cut_off(each) >= 2 for each in agents), 40)
        await door.open()
        await wait_until(lambda: ok("offline") >= 2, 40)
        before = ok()
        await wait_until(lambda: ok() >= before + 2, 30)
        for each in agents:  # in a thread: the door is open only while this loop runs
            assert await asyncio.to_thread(each.stop) == 0
    assert ledger.broken_promises() == []
    ran_by = Counter(run["agent_id"] for run in ledger.runs() if run["request_id"])
    assert len(ran_by) >= 2  # the third may have been dead all the while
