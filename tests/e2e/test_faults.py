"""Agents killed at any instant, answers lost, calls late, a gateway that talks nonsense: nothing lost, doubled, stuck.

Seeded and bounded; the long form is the chaos suite's.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartAgent
from tests.support.agent_process import AgentProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.ledger import Ledger
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

SYNC = "sync: {mirror_every: 30s, poll_every: 1s}\n"
RPCS = ("cron_agent_hello", "cron_agent_beat", "cron_claim_requests", "cron_report", "cron_sync_mirror")
TWICE = 2
"""The try and its repetition at once: an answer lost once alone is mended below the stages."""


@pytest.fixture
def ledger(project: Any, tmp_path: Path) -> Ledger:
    return Ledger(project, tmp_path)


@pytest.fixture
async def proxy(project: Any) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(project.url) as between:
        yield between


@pytest.fixture
def rng() -> random.Random:
    return random.Random(9)  # noqa: S311 - a seed that can be repeated, no secret


async def test_an_agent_killed_at_any_instant_runs_nothing_twice_and_forgets_nothing(
    start_agent: StartAgent, ledger: Ledger, project: Any, rng: random.Random
) -> None:
    agent = start_agent(SYNC + ledger.jobs)
    await _mirrored(project)
    for _ in range(9):
        for _ in range(6):
            ledger.press(rng.choice(ledger.REQUESTED))
        await _lines_later(agent, rng.randrange(60))
        agent.kill()
        agent.start()
    await ledger.settled()
    await _ended_well(agent, ledger)


async def test_answers_that_are_lost_after_the_commit_count_once(
    start_agent: StartAgent, ledger: Ledger, proxy: FaultProxy, rng: random.Random
) -> None:
    proxy.lose_answers("cron_agent_hello", TWICE)
    agent = start_agent(SYNC + ledger.jobs, url=proxy.url)
    await agent.wait_event("Supabase knows this agent")
    for name in RPCS[1:]:
        proxy.lose_answers(name, TWICE)
        await _cause(name, agent, ledger, rng)
        await wait_until(lambda name=name: proxy.lost[name] == TWICE, 60)
    await ledger.settled()
    await _ended_well(agent, ledger)


async def test_calls_that_arrive_late_after_their_repetition_change_nothing(
    start_agent: StartAgent, ledger: Ledger, proxy: FaultProxy, rng: random.Random
) -> None:
    """The hello above all: it knows nothing of what was begun since, and would turn out the agent that sent it."""
    proxy.hold_back("cron_agent_hello")
    agent = start_agent(SYNC + ledger.jobs, url=proxy.url)
    await agent.wait_event("Supabase knows this agent")
    for name in RPCS[1:]:
        proxy.hold_back(name)
        await _cause(name, agent, ledger, rng)
        await wait_until(lambda name=name: any(path.endswith(name) for path in proxy.held), 60)
        ledger.press("slow")
        await _lines_later(agent, 12)
        await proxy.deliver()
    await ledger.settled()
    answers = dict(proxy.late)
    assert b'"again"' in answers["/rest/v1/rpc/cron_agent_hello"]
    assert all(b"server_time" in answer for answer in answers.values())
    await _ended_well(agent, ledger)


async def test_a_gateway_that_answers_nonsense_and_a_black_hole_cost_no_report(
    start_agent: StartAgent, ledger: Ledger, proxy: FaultProxy, project: Any, rng: random.Random
) -> None:
    """A restarting gateway says 404 to everything: no reason to give up the report that it was asked to take."""
    agent = start_agent(SYNC + ledger.jobs, url=proxy.url)
    await _mirrored(project)
    for status in (404, 500, 400, 429):
        for _ in range(4):
            ledger.press(rng.choice(ledger.REQUESTED))
        await _lines_later(agent, rng.randrange(30))
        proxy.answer_with(status, times=3)
        await wait_until(lambda: not proxy.answering, 60)
        await proxy.reset()
    proxy.swallow()
    await _lines_later(agent, 6)
    proxy.flow()
    await ledger.settled()
    assert not agent.events("report set aside: the server refuses it")
    await _ended_well(agent, ledger)


async def test_what_waits_for_its_turn_goes_back_to_the_queue_when_the_agent_stops(
    start_agent: StartAgent, ledger: Ledger, project: Any, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent = start_agent(f"{SYNC}{ledger.jobs}  gated: {{shell: 'until [ -e {go} ]; do sleep 0.05; done'}}\n")
    await _mirrored(project)
    for _ in range(3):
        ledger.press("gated")
    await wait_until(lambda: [row["status"] for row in ledger.requests()] == ["running"] * 3)
    await agent.wait_event("run started")
    agent.signal(signal.SIGTERM)

    await wait_until(lambda: sorted(row["status"] for row in ledger.requests()) == ["queued", "queued", "running"])
    assert sorted(row["attempts"] for row in ledger.requests()) == [0, 0, 1]
    go.touch()
    assert await asyncio.to_thread(agent.wait) == 0
    assert sorted(row["status"] for row in ledger.requests()) == ["done", "queued", "queued"]
    agent.start()
    await ledger.settled()
    assert {(row["status"], row["attempts"]) for row in ledger.requests()} == {("done", 1)}


async def _mirrored(project: Any) -> None:
    def jobs() -> list[Any]:
        rows: list[Any] = project.sql("select 1 from cron_mirror where project_id = %s", project.project_id)
        return rows

    await wait_until(jobs, 60)


async def _lines_later(agent: AgentProcess, count: int) -> None:
    """An instant of the agent's own making: when it has said so much more. The schedule alone says some each second."""
    before = len(agent.events())
    await wait_until(lambda: len(agent.events()) >= before + count, 60)


async def _cause(call: str, agent: AgentProcess, ledger: Ledger, rng: random.Random) -> None:
    """Give the agent a reason for this call, and for others beside it."""
    for _ in range(5):
        ledger.press(rng.choice(ledger.REQUESTED))
    if call == "cron_sync_mirror":
        agent.write_config(agent.config.read_text().removeprefix("env_file: agent.env\n") + "  more: {run: [ls]}\n")
    if call == "cron_agent_beat":  # the next one would come in 15 s
        agent.kill()
        agent.start()


async def _ended_well(agent: AgentProcess, ledger: Ledger) -> None:
    """Stopped as told, nothing broken, and no fault of its own in the log."""
    assert await asyncio.to_thread(agent.stop) == 0
    assert ledger.broken_promises() == []
    text = agent.log.read_text()
    assert "Traceback" not in text
    assert not agent.events("loop ended")
