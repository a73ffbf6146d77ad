"""Postgres, the stack or the line goes away while requests come and jobs run: each ends once, nothing is doubled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agent.cli.demo.operator import Operator
from agent.errors import Refused, TemporaryError
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.door import Door
from tests.support.stack import StackThread
from tests.support.waiting import lapse, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    """A stack of our own, at the same port after each restart."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    running = StackThread(tmp_path_factory.mktemp("outages"), port=port)
    try:
        running.start()
        running.migrate()
        yield running
    finally:
        running.close()


class Presser:
    """Presses Run again and again, as an impatient person: until it is answered, with the same id."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.answered: list[str] = []
        self.refused = 0

    @contextlib.asynccontextmanager
    async def pressing(self, *jobs: str) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:  # who cannot press any more ends the test, and says why
            for job in jobs:
                group.create_task(self._press(job))
            yield
            self._enough = True

    _enough = False

    async def _press(self, job: str) -> None:
        while not self._enough:
            request_id = str(uuid4())
            while not await self._answered(job, request_id):
                pass
            self.answered.append(request_id)
            await lapse(0.05)  # as fast as a finger: beyond that the queue is full (1,000) before anything goes away

    async def _answered(self, job: str, request_id: str) -> bool:
        try:
            await self._operator.rpc("cron_request_run", p_job_id=job, p_id=request_id)
        except (TemporaryError, Refused) as error:
            if getattr(error, "status", 503) < 500:
                raise
            self.refused += 1
            return False
        return True


def jobs(folder: Path) -> str:
    """Each run writes its id down: what happened, whoever says what."""
    note = f"echo $CRONMIRROR_RUN_ID >> {folder}"
    return f"""sync: {{mirror_every: 30s, poll_every: 5s}}
limits: {{concurrency: 6}}
jobs:
  quick: {{shell: "{note}/quick", overlap: allow}}
  slow: {{shell: "{note}/slow; sleep 2", overlap: allow}}
  tick: {{every: 1s, shell: "{note}/tick", overlap: allow}}
"""


@pytest.mark.parametrize("what", ["postgres", "everything"])
async def test_requests_and_runs_survive_a_restart(
    what: str, start_agent: StartAgent, operator: Operator, project: Any, tmp_path: Path
) -> None:
    folder = folder_of_notes(tmp_path)
    agent = start_agent(jobs(folder))
    await mirrored(operator, 3)
    presser = Presser(operator)
    async with presser.pressing("quick", "quick"):
        await wait_until(lambda: len(presser.answered) >= 10)
        presser.answered += [(await operator.press_run("slow"))["id"] for _ in range(3)]
        await wait_until(lambda: len(noted(folder, "slow")) == 3, 60)
        async with gone(project.stack, what):
            await more_of(folder, "tick", 5)
            assert presser.refused > 0
        after = len(presser.answered)
        await wait_until(lambda: len(presser.answered) >= after + 10)
    await every_request_ran_once(operator, presser, folder)

    async def heard() -> bool:
        pressed = await operator.press_run("quick")
        assert (await ended(operator, pressed["id"], timeout=20))["status"] == "done"
        return pressed["id"] in [woken["request"] for woken in agent.events("woken")]

    await wait_until(heard, 60)
    assert await asyncio.to_thread(agent.stop) == 0
    assert agent.events("Supabase answers again")
    await every_slot_is_told_once(operator, folder)
    (shown,) = await operator.select("cron_agents")
    assert shown["state"] == "stopped"


async def test_requests_and_runs_survive_a_line_that_is_cut_again_and_again(
    start_agent: StartAgent, operator: Operator, project: Any, tmp_path: Path
) -> None:
    """The server goes on meanwhile: what it did for a call whose answer was lost must count once."""
    folder = folder_of_notes(tmp_path)
    async with Door(project.url) as door:
        await door.open()
        agent = start_agent(jobs(folder), url=door.url)
        await mirrored(operator, 3)
        presser = Presser(operator)
        async with presser.pressing("quick", "quick"):
            for _ in range(3):
                await more_of(folder, "quick", 5)
                await door.shut()
                await more_of(folder, "tick", 1)
                await door.open()
        assert presser.refused == 0
        await every_request_ran_once(operator, presser, folder)
        assert await asyncio.to_thread(agent.stop) == 0
        await every_slot_is_told_once(operator, folder)


@contextlib.asynccontextmanager
async def gone(stack: StackThread, what: str) -> AsyncIterator[None]:
    stop, start = (stack.stop_database, stack.start_database) if what == "postgres" else (stack.stop, stack.start)
    await asyncio.to_thread(stop)
    try:
        yield
    finally:
        await asyncio.to_thread(start)


async def more_of(folder: Path, job: str, count: int) -> None:
    """Wait until the job has run so many times from now on."""
    before = len(noted(folder, job))
    await wait_until(lambda: len(noted(folder, job)) >= before + count, 40)


async def every_request_ran_once(operator: Operator, presser: Presser, folder: Path) -> None:
    """What Supabase says of the requests is what the jobs themselves wrote down."""
    rows = [await ended(operator, request_id, timeout=60) for request_id in presser.answered]
    assert {(row["status"], row["attempts"]) for row in rows} == {("done", 1)}
    ran = noted(folder, "quick") + noted(folder, "slow")
    assert sorted(ran) == sorted(row["result"]["run_id"] for row in rows)


async def every_slot_is_told_once(operator: Operator, folder: Path) -> None:
    ticks = await operator.select("cron_runs", job_id="eq.tick", limit="1000")
    assert sorted(tick["id"] for tick in ticks if tick["status"] == "ok") == sorted(noted(folder, "tick"))
    assert {tick["status"] for tick in ticks} <= {"ok", "missed", "skipped"}
    assert len({tick["scheduled_for"] for tick in ticks}) == len(ticks)


def folder_of_notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def noted(folder: Path, job: str) -> list[str]:
    file = folder / job
    return file.read_text().split() if file.exists() else []
