"""The main job, end to end: mirrored, asked for, woken, claimed, executed, written back; scheduled runs reported."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.blocking_proxy import BlockingProxy
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

JOBS = """\
sync: {mirror_every: 30s, poll_every: 1h}
jobs:
  hello: {name: Say hello, run: [echo, hello]}
  broken: {shell: "echo out; echo why >&2; exit 3"}
  sized:
    shell: 'cat "$CRONMIRROR_PAYLOAD"'
    payload: {type: object, properties: {width: {type: integer, minimum: 1}}, required: [width]}
  off: {run: [echo, never], enabled: false}
"""


async def test_a_press_of_run_reaches_the_job_and_its_result_comes_back(
    start_agent: StartAgent, operator: Operator
) -> None:
    agent = start_agent(JOBS)
    jobs = await mirrored(operator, 4)
    assert [job["job_id"] for job in jobs] == ["broken", "hello", "off", "sized"]
    assert jobs[1]["name"] == "Say hello"
    assert jobs[1]["schedule_kind"] is None

    pressed = await operator.press_run("hello")
    assert pressed["status"] == "queued"
    row = await ended(operator, pressed["id"])
    assert row["status"] == "done"
    assert row["claimed_by"] == "mac"
    assert row["result"]["ok"] is True
    assert row["result"]["exit_code"] == 0
    assert row["result"]["stdout_tail"] == "hello\n"
    assert row["result"]["agent_id"] == "mac"
    (run,) = await operator.select("cron_runs", request_id=f"eq.{row['id']}")
    assert (run["status"], run["trigger"], run["attempt"]) == ("ok", "request", 1)
    assert run["id"] == row["result"]["run_id"]
    (job,) = [each for each in await operator.select("cron_mirror") if each["job_id"] == "hello"]
    assert job["last_status"] == "ok"
    assert agent.events("woken")


async def test_a_failing_job_ends_in_error_with_its_reason_and_what_it_said(
    start_agent: StartAgent, operator: Operator
) -> None:
    start_agent(JOBS)
    await mirrored(operator, 4)
    row = await ended(operator, (await operator.press_run("broken"))["id"])
    assert row["status"] == "error"
    result = row["result"]
    assert (result["reason"], result["exit_code"]) == ("exit_code", 3)
    assert (result["stdout_tail"], result["stderr_tail"]) == ("out\n", "why\n")


async def test_a_request_is_picked_up_through_realtime_alone(
    start_agent: StartAgent, operator: Operator, project: Any
) -> None:
    """Polling is once an hour and every beat says that nothing is due: only Realtime is left."""
    project.sql("alter function public.cron_agent_beat rename to cron_agent_beat_true")
    project.sql(
        """create function public.cron_agent_beat(p_project text, p_agent text, p_epoch int, p_running jsonb,
             p_state jsonb, p_job_ids text[], p_lease_s int default 60) returns jsonb language sql as $$
             select public.cron_agent_beat_true(p_project, p_agent, p_epoch, p_running, p_state, p_job_ids, p_lease_s)
                    || '{"due": 0, "next_due_at": null}' $$"""
    )
    project.sql("grant execute on function public.cron_agent_beat to authenticated")
    project.sql("notify pgrst, 'reload schema'")
    try:
        start_agent(JOBS)
        await mirrored(operator, 4)
        for _ in range(5):
            row = await ended(operator, (await operator.press_run("hello"))["id"])
            assert row["status"] == "done"
            assert _seconds(row["requested_at"], row["picked_up_at"]) < 0.7
    finally:
        project.sql("drop function public.cron_agent_beat")
        project.sql("alter function public.cron_agent_beat_true rename to cron_agent_beat")
        project.sql("notify pgrst, 'reload schema'")


async def test_with_realtime_blocked_a_request_is_picked_up_within_poll_every(
    start_agent: StartAgent, operator: Operator, project: Any
) -> None:
    async with BlockingProxy(project.url).running() as proxy:
        start_agent(JOBS.replace("poll_every: 1h", "poll_every: 2s"), url=proxy.url)
        await wait_until(lambda: operator.select("cron_mirror"), 45)
        for _ in range(3):
            row = await ended(operator, (await operator.press_run("hello"))["id"])
            assert row["status"] == "done"
            assert _seconds(row["requested_at"], row["picked_up_at"]) < 2.5
        assert proxy.refused > 0
        (agent,) = await operator.select("cron_agents")
        assert agent["realtime"] == "polling"


async def test_payloads_are_checked_and_handed_over(start_agent: StartAgent, operator: Operator, project: Any) -> None:
    start_agent(JOBS)
    await mirrored(operator, 4)
    good = await ended(operator, await _ask(operator, "sized", {"width": 640}))
    assert good["status"] == "done"
    assert json.loads(good["result"]["stdout_tail"]) == {"width": 640}
    bad = await ended(operator, await _ask(operator, "sized", {"width": 0}))
    assert (bad["status"], bad["result"]["reason"]) == ("error", "rejected")
    assert "payload.width" in bad["result"]["error"]
    none = await ended(operator, await _ask(operator, "hello", {"width": 1}))
    assert (none["status"], none["result"]["reason"]) == ("error", "rejected")


async def test_a_disabled_job_is_refused_with_where_to_enable_it(start_agent: StartAgent, operator: Operator) -> None:
    start_agent(JOBS)
    await mirrored(operator, 4)
    row = await ended(operator, (await operator.press_run("off"))["id"])
    assert (row["status"], row["result"]["reason"]) == ("error", "rejected")
    assert "enabled" in row["result"]["error"]


async def test_scheduled_runs_are_run_and_reported(start_agent: StartAgent, operator: Operator) -> None:
    start_agent("jobs:\n  tick: {every: 1s, run: [echo, tick]}\n  boot: {schedule: '@startup', run: [echo, up]}\n")

    async def three() -> list[dict[str, Any]]:
        runs = await operator.select("cron_runs", job_id="eq.tick", status="eq.ok")
        return runs if len(runs) >= 3 else []

    runs = await wait_until(three, 20)
    slots = [run["scheduled_for"] for run in runs]
    assert len(set(slots)) == len(slots)
    assert {run["trigger"] for run in runs} == {"schedule"}
    boot = await wait_until(lambda: operator.select("cron_runs", job_id="eq.boot", status="eq.ok"))
    assert [(run["trigger"], run["scheduled_for"]) for run in boot] == [("startup", None)]


async def test_a_killed_agent_reports_its_run_as_lost_and_ends_what_was_left(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    agent = start_agent(f"jobs:\n  long: {{shell: 'echo $$ > {pid_file}; sleep 300'}}\n")
    await mirrored(operator, 1)
    request = await operator.press_run("long")
    await wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
    agent.kill()
    agent.start()
    row = await ended(operator, request["id"], timeout=30)
    assert (row["status"], row["result"]["reason"]) == ("error", "lost")
    assert row["attempts"] == 1
    await wait_until(lambda: not _alive(int(pid_file.read_text())))


async def test_a_database_that_forgot_the_agent_is_greeted_anew(
    start_agent: StartAgent, operator: Operator, project: Any
) -> None:
    agent = start_agent("sync: {poll_every: 1s}\njobs:\n  hello: {run: [echo, hello]}\n")
    await mirrored(operator, 1)
    project.sql("delete from public.cron_agents where project_id = %s", project.project_id)
    project.sql("delete from public.cron_mirror where project_id = %s", project.project_id)
    await agent.wait_event("Supabase knows this agent", 2, timeout=25)
    await mirrored(operator, 1)
    assert (await ended(operator, (await operator.press_run("hello"))["id"]))["status"] == "done"


async def test_sigterm_lets_running_jobs_end_and_claims_nothing_new(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    agent = start_agent(
        f"drain_timeout: 20s\njobs:\n  wait: {{shell: 'until [ -e {flag} ]; do sleep 0.05; done; echo over'}}\n"
    )
    await mirrored(operator, 1)
    first = await operator.press_run("wait")
    await agent.wait_event("run started")
    agent.signal(signal.SIGTERM)
    await agent.wait_event("draining")
    second = await operator.press_run("wait")
    await asyncio.sleep(0)
    flag.touch()
    assert await asyncio.to_thread(agent.wait) == 0
    assert (await operator.request(first["id"]))["status"] == "done"
    assert (await operator.request(second["id"]))["status"] == "queued"
    (row,) = await operator.select("cron_agents")
    assert row["state"] == "stopped"


async def _ask(operator: Operator, job: str, payload: Any) -> str:
    answer = await operator.rpc("cron_request_run", p_job_id=job, p_payload=payload)
    return str(answer["id"])


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
