"""Edits of the YAML while a real agent runs: good ones take effect at once, broken ones change nothing and say why."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SYNC = "sync: {mirror_every: 30s, poll_every: 2s}\n"
UNCHANGED = "configuration read again, nothing has changed"
BROKEN = "jobs:\n  hello: {run: [echo, hello]}\n  late: {every: 15 minuts, run: [echo, late]}\n  odd: {rum: [echo]}\n"
LINE_OF_LATE = 6  # env_file, project, agent, supabase, jobs, hello come before it


async def test_a_broken_edit_keeps_the_last_good_jobs_and_a_mended_one_takes_effect(
    start_agent: StartAgent, operator: Operator
) -> None:
    agent = start_agent(SYNC + "jobs:\n  hello: {run: [echo, hello]}\n  old: {run: [echo, old]}\n")
    await mirrored(operator, 2)

    agent.write_config(agent.head + BROKEN)
    said = await agent.wait_event("configuration not accepted, the last good one stays in force")
    assert said["level"] == "error"
    problems = [each["problem"] for each in agent.events("configuration problem")]
    assert any(each.startswith(f"config.yaml:{LINE_OF_LATE + 1}: jobs.late.every") for each in problems)
    assert any("jobs.odd" in each and "run" in each for each in problems)
    shown = await _config_error(operator)
    assert shown.startswith(f"config.yaml:{LINE_OF_LATE + 1}: jobs.late.every")
    assert "more)" in shown
    assert await _job_ids(operator) == ["hello", "old"]
    assert (await ended(operator, (await operator.press_run("old"))["id"]))["status"] == "done"

    agent.write_config(agent.head + SYNC + "jobs:\n  hello: {run: [echo, hello]}\n  fresh: {run: [echo, fresh]}\n")
    await wait_until(lambda: _has_jobs(operator, ["fresh", "hello"]), 45)
    row = await ended(operator, (await operator.press_run("fresh"))["id"], timeout=5)
    assert (row["status"], row["result"]["stdout_tail"]) == ("done", "fresh\n")
    assert await wait_until(lambda: _no_config_error(operator), 20)


async def test_a_job_that_is_changed_or_removed_while_it_runs_runs_to_its_end(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    shell = f"shell: 'until [ -e {go} ]; do sleep 0.05; done; echo as it was'"
    asked = f"  removed: {{{shell}}}\n  changed: {{{shell}}}\n"
    due = f"  due_removed: {{schedule: '@startup', {shell}}}\n  due_changed: {{schedule: '@startup', {shell}}}\n"
    agent = start_agent(f"{SYNC}limits: {{concurrency: 4}}\njobs:\n{asked}{due}")
    await mirrored(operator, 4)
    removed, changed = await operator.press_run("removed"), await operator.press_run("changed")
    await agent.wait_event("run started", 4)
    left_behind = await operator.press_run("removed")

    now = "run: [echo, as it is]"
    agent.write_config(
        f"{agent.head}{SYNC}jobs:\n  changed: {{{now}}}\n  due_changed: {{schedule: '@startup', {now}}}\n"
    )
    await wait_until(lambda: _has_jobs(operator, ["changed", "due_changed"]), 45)
    go.touch()
    for request in (removed, changed):
        row = await ended(operator, request["id"])
        assert (row["status"], row["result"]["stdout_tail"]) == ("done", "as it was\n")
    for job in ("due_removed", "due_changed"):
        (run,) = await wait_until(lambda job=job: operator.select("cron_runs", job_id=f"eq.{job}", status="eq.ok"), 45)
        assert run["output"] == "as it was\n"
    again = await ended(operator, (await operator.press_run("changed"))["id"])
    assert again["result"]["stdout_tail"] == "as it is\n"
    assert (await operator.request(left_behind["id"]))["status"] == "queued"


async def test_an_edit_of_the_env_file_and_a_sighup_are_read_too(start_agent: StartAgent, operator: Operator) -> None:
    jobs = "jobs:\n  say: {shell: 'test \"$WORD\" = second-word', env: {WORD: '${THE_WORD}'}}\n"
    agent = start_agent(SYNC + jobs, THE_WORD="first-word")
    await mirrored(operator, 1)
    assert (await ended(operator, (await operator.press_run("say"))["id"]))["status"] == "error"
    await agent.wait_event(UNCHANGED)
    env_file = agent.folder / "agent.env"
    env_file.write_text(env_file.read_text().replace("first-word", "second-word"))
    await agent.wait_event("configuration accepted")
    assert (await ended(operator, (await operator.press_run("say"))["id"]))["status"] == "done"
    for _ in range(2):
        before = len(agent.events(UNCHANGED))
        agent.signal(signal.SIGHUP)
        await agent.wait_event(UNCHANGED, before + 1)
    assert "-word" not in agent.log.read_text()


async def test_a_start_with_a_broken_file_goes_on_with_the_last_good_one(
    start_agent: StartAgent, operator: Operator
) -> None:
    agent = start_agent(f"{SYNC}jobs:\n  hello: {{run: [echo, hello]}}\n")
    await mirrored(operator, 1)
    assert await asyncio.to_thread(agent.stop) == 0
    agent.write_config("jobs: [\n")
    agent.log.unlink()
    agent.start()
    await agent.wait_event("the configuration is broken; starting on the last good one")
    assert "config.yaml:" in agent.events("configuration problem")[0]["problem"]
    row = await ended(operator, (await operator.press_run("hello"))["id"])
    assert row["status"] == "done"
    assert (await _config_error(operator)).startswith("config.yaml:")
    assert await _job_ids(operator) == ["hello"]

    agent.write_config(agent.head + SYNC + "jobs:\n  hello: {run: [echo, mended]}\n")
    await agent.wait_event("configuration accepted")
    row = await ended(operator, (await operator.press_run("hello"))["id"])
    assert row["result"]["stdout_tail"] == "mended\n"


async def test_a_first_start_with_a_broken_file_ends_with_every_problem_and_code_2(start_agent: StartAgent) -> None:
    agent = start_agent(BROKEN, run=False)
    assert await _exit(agent.start()) == 2
    text = agent.log.read_text()
    assert f"config.yaml:{LINE_OF_LATE + 1}: jobs.late.every" in text
    assert "jobs.odd" in text
    assert "Traceback" not in text


async def test_a_file_that_others_can_write_is_refused_at_start_and_ignored_while_running(
    start_agent: StartAgent, operator: Operator
) -> None:
    refused = start_agent("jobs:\n  hello: {run: [echo, hello]}\n", run=False)
    refused.config.chmod(0o666)
    assert await _exit(refused.start()) == 2
    assert "chmod go-w" in refused.log.read_text()

    agent = start_agent(f"{SYNC}jobs:\n  hello: {{run: [echo, hello]}}\n")
    await mirrored(operator, 1)
    fresh = agent.folder / "open.yaml"
    fresh.write_text(agent.config.read_text().replace("[echo, hello]", "[echo, evil]"))
    fresh.chmod(0o666)
    fresh.rename(agent.config)
    assert "can be written by others" in await _config_error(operator)
    row = await ended(operator, (await operator.press_run("hello"))["id"])
    assert row["result"]["stdout_tail"] == "hello\n"


async def _exit(agent: AgentProcess) -> int:
    return await asyncio.to_thread(agent.wait, 30)


async def _job_ids(operator: Operator) -> list[str]:
    return [job["job_id"] for job in await operator.select("cron_mirror", order="job_id")]


async def _has_jobs(operator: Operator, wanted: list[str]) -> bool:
    return await _job_ids(operator) == wanted


async def _config_error(operator: Operator) -> str:
    """What pages show of the broken file. It comes with the reload, not with the next beat 15 s later."""

    async def look() -> Any:
        return (await operator.select("cron_agents"))[0]["config_error"]

    return str(await wait_until(look, 8))


async def _no_config_error(operator: Operator) -> bool:
    return (await operator.select("cron_agents"))[0]["config_error"] is None
