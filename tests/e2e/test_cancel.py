"""A cancellation is heard at once through Realtime, ends the whole group, and ends the request exactly once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.blocking_proxy import BlockingProxy
from tests.support.processes import alive
from tests.support.stack import Project
from tests.support.waiting import lapse, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]


async def cancel(operator: Operator, request_id: str) -> str:
    """The status that the page is told."""
    return str((await operator.rpc("cron_cancel_request", p_id=request_id))["status"])


async def cancelled(operator: Operator, request_id: str) -> dict[str, Any]:
    row = await ended(operator, request_id, timeout=30)
    assert (row["status"], row["result"]["reason"]) == ("error", "cancelled")
    return row


async def runs_of(operator: Operator, request_id: str) -> list[tuple[str, int]]:
    rows = await operator.select("cron_runs", request_id=f"eq.{request_id}", order="attempt")
    return [(row["status"], row["attempt"]) for row in rows]


async def pids_in(file: Path, count: int) -> list[int]:
    def written() -> list[str]:
        pids = file.read_text().split() if file.exists() else []
        return pids if len(pids) >= count else []

    return [int(pid) for pid in await wait_until(written, 20)]


async def test_a_running_job_ends_with_all_its_children_whether_it_obeys_or_not(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    family = f"echo $$ >> {tmp_path}/{{0}}; sh -c 'echo $$ >> {tmp_path}/{{0}}; sleep 300; true' & "
    stray = f"setsid sh -c 'echo $$ >> {tmp_path}/{{0}}; sleep 300; true' & sleep 300; true"
    (tmp_path / "obeys.sh").write_text(family.format("obeys") + stray.format("obeys"))
    (tmp_path / "deaf.sh").write_text("trap '' TERM; " + family.format("deaf") + stray.format("deaf"))
    agent = start_agent(
        f"jobs:\n  obeys: {{run: [sh, {tmp_path}/obeys.sh]}}\n  deaf: {{run: [sh, {tmp_path}/deaf.sh], grace: 500ms}}\n"
    )
    await mirrored(operator, 2, timeout=30)
    for job in ("obeys", "deaf"):
        request = await operator.press_run(job)
        family_of = await pids_in(tmp_path / job, 3)
        assert all(map(alive, family_of))
        assert await cancel(operator, request["id"]) == "running"
        await cancelled(operator, request["id"])
        assert not any(map(alive, family_of)), "what the row says is true when it says so"
        assert await runs_of(operator, request["id"]) == [("cancelled", 1)]
    assert [each["kind"] for each in agent.events("woken")].count("cancel") >= 2


async def test_without_realtime_the_next_beat_tells(
    start_agent: StartAgent, operator: Operator, project: Project, tmp_path: Path
) -> None:
    async with BlockingProxy(project.url).running() as proxy:
        start_agent(
            f"sync: {{poll_every: 1s}}\njobs:\n  long: {{shell: 'echo $$ > {tmp_path}/pid; sleep 300; true'}}\n",
            url=proxy.url,
        )
        await wait_until(lambda: operator.select("cron_mirror"), 30)
        request = await operator.press_run("long")
        (pid,) = await pids_in(tmp_path / "pid", 1)
        await cancel(operator, request["id"])
        await cancelled(operator, request["id"])
        assert not alive(pid)


async def test_what_has_not_begun_never_begins(start_agent: StartAgent, operator: Operator, tmp_path: Path) -> None:
    """While it is queued, while it waits for a slot, between two attempts."""
    flag = tmp_path / "go"
    agent = start_agent(
        f"""limits: {{concurrency: 1}}
jobs:
  first: {{shell: 'touch {tmp_path}/begun; until [ -e {flag} ]; do sleep 0.05; done'}}
  second: {{shell: 'touch {tmp_path}/second'}}
  flaky: {{shell: 'echo tried >> {tmp_path}/flaky; exit 1', retry: {{max_attempts: 3, base: 1h, cap: 1h}}}}
"""
    )
    await mirrored(operator, 3, timeout=30)
    first = await operator.press_run("first")
    await wait_until((tmp_path / "begun").exists)
    waiting = [await operator.press_run("second") for _ in range(2)]
    for request in waiting:
        await cancel(operator, request["id"])
        await cancelled(operator, request["id"])
    flag.touch()
    assert (await ended(operator, first["id"]))["status"] == "done"
    assert await cancel(operator, first["id"]) == "done", "after the end it changes nothing"
    assert (await operator.request(first["id"]))["cancel_requested_at"] is None

    flaky = await operator.press_run("flaky")
    tried = tmp_path / "flaky"
    await wait_until(tried.exists)

    async def queued_again() -> bool:
        row = await operator.request(flaky["id"])
        return bool(row["status"] == "queued" and row["attempts"] == 1 and row["last_error"])

    await wait_until(queued_again)
    assert await cancel(operator, flaky["id"]) == "error"
    assert (await cancelled(operator, flaky["id"]))["attempts"] == 1
    assert await runs_of(operator, flaky["id"]) == [("error", 1)]
    assert await asyncio.to_thread(agent.stop) == 0
    assert not (tmp_path / "second").exists()
    assert tried.read_text() == "tried\n"


async def test_a_run_that_ends_at_that_very_moment_ends_exactly_once(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    start_agent(
        f"limits: {{concurrency: 4}}\n"
        f"jobs:\n  brief: {{shell: 'sleep 0.1; echo $CRONMIRROR_REQUEST_ID >> {marks}', overlap: allow}}\n"
    )
    await mirrored(operator, 1, timeout=30)
    spread = random.Random(4)  # noqa: S311 - the same instants every time

    async def press_and_cancel() -> str:
        request = await operator.press_run("brief")
        await wait_until(lambda: begun(request["id"]))
        await lapse(spread.uniform(0, 0.15))
        await cancel(operator, request["id"])
        return str(request["id"])

    async def begun(request_id: str) -> bool:
        return (await operator.request(request_id))["status"] != "queued"

    asked = [each for _ in range(5) for each in await asyncio.gather(*(press_and_cancel() for _ in range(4)))]
    rows = [await ended(operator, request_id, timeout=30) for request_id in asked]
    ran = marks.read_text().split() if marks.exists() else []
    assert len(ran) == len(set(ran))
    for row in rows:
        (run,) = await runs_of(operator, row["id"])
        if row["status"] == "done":
            assert (run, row["id"] in ran) == (("ok", 1), True)
        else:
            assert (row["result"]["reason"], run) == ("cancelled", ("cancelled", 1))
        assert row["attempts"] == 1
