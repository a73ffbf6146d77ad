"""What an agent that stops does with what it holds. What becomes of it in kills and faults is the chaos suite's."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartAgent
from tests.support.fault_proxy import FaultProxy
from tests.support.ledger import Ledger
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

SYNC = "sync: {mirror_every: 30s, poll_every: 1s}\n"


@pytest.fixture
def ledger(project: Any, tmp_path: Path) -> Ledger:
    return Ledger(project, tmp_path)


async def test_what_waits_for_its_turn_goes_back_to_the_queue_when_the_agent_stops(
    start_agent: StartAgent, ledger: Ledger, project: Any, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent = start_agent(f"{SYNC}{ledger.jobs}  gated: {{shell: 'until [ -e {go} ]; do sleep 0.05; done'}}\n")
    await _mirrored(project)
    # In one statement: one claim meets all three, however busy the machine is.
    project.sql(
        "insert into cron_run_requests (project_id, job_id, requested_by) "
        "select %s, 'gated', 'ui' from generate_series(1, 3)",
        project.project_id,
    )
    await wait_until(lambda: [row["status"] for row in ledger.requests()] == ["running"] * 3)
    await wait_until(lambda: "gated" in [begun["job"] for begun in agent.events("run started")])
    agent.signal(signal.SIGTERM)

    await wait_until(lambda: sorted(row["status"] for row in ledger.requests()) == ["queued", "queued", "running"])
    assert sorted(row["attempts"] for row in ledger.requests()) == [0, 0, 1]
    go.touch()
    assert await asyncio.to_thread(agent.wait) == 0
    assert sorted(row["status"] for row in ledger.requests()) == ["done", "queued", "queued"]
    agent.start()
    await ledger.settled()
    assert {(row["status"], row["attempts"]) for row in ledger.requests()} == {("done", 1)}


@pytest.mark.parametrize("away", [False, True])
async def test_a_slot_whose_answer_was_lost_does_not_stay_running_when_the_agent_stops(
    start_agent: StartAgent, project: Any, away: bool
) -> None:
    jobs = f"{SYNC}jobs: {{tick: {{every: 2s, run: ['true'], placement: any, catch_up: all}}}}\n"

    def rows(status: str) -> list[Any]:
        of = "select scheduled_for from cron_runs where project_id = %s and status = %s"
        return list(project.sql(of, project.project_id, status))

    async with FaultProxy(project.url) as proxy:
        agent = start_agent(jobs, url=proxy.url)
        await wait_until(lambda: rows("ok"))
        proxy.lose_answers("cron_claim_slot", 2)  # a call whose connection breaks is made once more
        await wait_until(lambda: agent.events("a slot could not be asked for"))
        if away:
            await proxy.cut()
        agent.signal(signal.SIGTERM)
        assert await asyncio.to_thread(agent.wait) == 0
        won = rows("running") if away else rows("missed")
        assert len(won) == 1
        if away:
            await proxy.mend()
        assert away or not rows("running")
        agent.start()
        await wait_until(lambda: won[0] in rows("ok") and not rows("running"))
        assert await asyncio.to_thread(agent.stop) == 0
    assert not rows("running")


async def _mirrored(project: Any) -> None:
    def jobs() -> list[Any]:
        rows: list[Any] = project.sql("select 1 from cron_mirror where project_id = %s", project.project_id)
        return rows

    await wait_until(jobs, 60)
