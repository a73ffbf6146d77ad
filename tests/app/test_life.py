"""Signals, the end of input, and starts: real agent processes whose Supabase cannot be reached."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agent.adapters.files import StateDir
from agent.app.history import read_history
from agent.model import LocalRun
from tests.support.agent_process import PATIENCE_S, ROOT, AgentProcess
from tests.support.processes import alive
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HEAD = """\
project: alone
agent: {id: mac}
supabase: {url: "http://127.0.0.1:9", key: sb_publishable_x, email: a@b.example, password: "${PASSWORD}"}
"""
LONG = "jobs:\n  long: {schedule: '@startup', shell: 'echo $$ > {pid}; sleep 300'}\n"
STUBBORN = """\
jobs:
  long:
    schedule: '@startup'
    shell: "trap '' TERM; echo $$ > {pid}; while :; do sleep 0.2; done"
    grace: 5m
"""

Start = Callable[..., AgentProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an agent alone in the world; `{pid}` in its YAML is where its job writes its process id."""
    agents: list[AgentProcess] = []

    def begin(jobs: str) -> AgentProcess:
        text = HEAD + jobs.replace("{pid}", str(tmp_path / "pid"))
        agents.append(AgentProcess(tmp_path / "agent", text, {"PASSWORD": "pw-of-nobody"}))
        return agents[-1].start()

    yield begin
    for agent in agents:
        agent.stop()


async def test_a_second_sigterm_ends_running_jobs_and_says_shutdown(start: Start, tmp_path: Path) -> None:
    agent = start("drain_timeout: 20s\n" + STUBBORN.replace("5m", "500ms"))
    pid = await _pid(tmp_path)
    agent.signal(signal.SIGTERM)
    await agent.wait_event("draining")
    assert alive(pid)
    agent.signal(signal.SIGTERM)
    assert await asyncio.to_thread(agent.wait) == 0
    assert not alive(pid)
    assert agent.events("told to stop again; ending running jobs")
    assert not agent.events("drain_timeout is over; ending what still runs")
    assert agent.events("reports that Supabase does not have yet are kept for the next start")
    (run,) = await _history(agent)
    assert (run.status, run.reason) == ("cancelled", "shutdown")


async def test_what_still_runs_after_drain_timeout_is_ended(start: Start, tmp_path: Path) -> None:
    agent = start("drain_timeout: 1s\n" + LONG)
    pid = await _pid(tmp_path)
    agent.signal(signal.SIGINT)
    assert await asyncio.to_thread(agent.wait) == 0
    assert not alive(pid)
    assert agent.events("drain_timeout is over; ending what still runs")
    (run,) = await _history(agent)
    assert (run.status, run.reason) == ("cancelled", "shutdown")


async def test_a_third_signal_leaves_at_once_and_the_next_start_cleans_up(start: Start, tmp_path: Path) -> None:
    agent = start(STUBBORN)
    pid = await _pid(tmp_path)
    for said in ("draining", "told to stop again; ending running jobs"):
        agent.signal(signal.SIGTERM)
        await agent.wait_event(said)
    agent.signal(signal.SIGTERM)
    assert await asyncio.to_thread(agent.wait) == 130
    assert alive(pid)

    (tmp_path / "pid").unlink()
    agent.write_config(HEAD + "jobs:\n  long: {run: [echo, later]}\n")
    agent.start()
    lost = await agent.wait_event("run lost with the agent's previous life")
    assert lost["survivors_ended"] is True
    await wait_until(lambda: not alive(pid))

    async def told() -> bool:
        return [(run.status, run.reason) for run in await _history(agent)] == [("lost", "lost")]

    await wait_until(told)


async def test_a_sigterm_while_it_still_recovers_ends_it_cleanly(start: Start, tmp_path: Path) -> None:
    agent = start(STUBBORN)
    pid = await _pid(tmp_path)
    agent.kill()
    assert alive(pid)
    agent.write_config(HEAD + "jobs: {}\n")
    agent.start()
    await wait_until(lambda: _holds_lock(agent), PATIENCE_S)
    agent.signal(signal.SIGTERM)
    assert await asyncio.to_thread(agent.wait) == 0
    assert not alive(pid)
    assert agent.events("agent stopped")
    assert [run.status for run in await _history(agent)] == ["lost"]


async def test_another_configuration_changes_nothing_while_the_agent_drains(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"
    agent = start(LONG.replace("sleep 300", f"until [ -e {go} ]; do sleep 0.1; done"))
    await _pid(tmp_path)
    agent.signal(signal.SIGTERM)
    await agent.wait_event("draining")
    agent.write_config(HEAD + "jobs:\n  other: {schedule: '@startup', run: [echo, other]}\n")
    for _ in range(3):
        agent.signal(signal.SIGHUP)
    go.touch()
    assert await asyncio.to_thread(agent.wait) == 0
    assert not agent.events("configuration accepted")
    assert [(run.job_id, run.status) for run in await _history(agent)] == [("long", "ok")]


@pytest.mark.parametrize("kind", ["pipe", "nothing", "file"])
async def test_the_end_of_input_stops_the_agent_where_that_was_asked_for(kind: str, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "agent", HEAD + "jobs: {}\n", {"PASSWORD": "pw-of-nobody"})
    text = tmp_path / "input"
    text.write_text("some lines\nof input\n")
    options = ["--config", str(agent.config), "--state-dir", str(agent.state), "--log-format", "json"]
    with text.open("rb") as file, agent.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "run", "--until-eof", *options),
            cwd=ROOT,
            env=agent.environment(),
            stdin={"pipe": subprocess.PIPE, "nothing": subprocess.DEVNULL, "file": file}[kind],
            stdout=log,
            stderr=log,
        )
    try:
        await agent.wait_event("agent started")
        if process.stdin:
            process.stdin.write(b"some input")
            await process.stdin.drain()
            assert process.returncode is None
            process.stdin.close()
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
    assert agent.events("agent stopped")


async def test_sighup_never_ends_an_agent_that_is_still_starting(start: Start) -> None:
    agent = start("jobs: {}\n")
    await wait_until((agent.state / "lock").exists, PATIENCE_S)
    for _ in range(5):
        agent.signal(signal.SIGHUP)
    await agent.wait_event("configuration read again, nothing has changed")
    assert agent.stop() == 0


async def test_a_start_without_a_state_directory_uses_the_projects_own(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "agent", HEAD + "jobs: {}\n", {"PASSWORD": "pw-of-nobody"})
    root = tmp_path / "states"
    arguments = ["run", "--until-eof", "--config", str(agent.config), "--log-format", "json"]
    ran = await _cronmirror(agent, *arguments, root=root)
    assert (ran.returncode, "agent stopped" in ran.stderr) == (0, True)
    assert (root / "alone" / "last-good.yaml").is_file()
    agent.write_config("jobs: [\n")
    broken = await _cronmirror(agent, *arguments, root=root)
    assert broken.returncode == 2
    assert "config.yaml:" in broken.stderr


async def _cronmirror(agent: AgentProcess, *arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "agent", *arguments],
        cwd=ROOT,
        env={**agent.environment(), "CRONMIRROR_STATE_DIR": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def _holds_lock(agent: AgentProcess) -> bool:
    """So far it has come: signals are heeded, the past is not looked at yet."""
    return any(Path(file.path) == agent.state / "lock" for file in psutil.Process(agent.pid).open_files())


async def _pid(folder: Path) -> int:
    """The process id that the job wrote down."""
    file = folder / "pid"
    text: str = await wait_until(lambda: file.exists() and file.read_text().strip(), PATIENCE_S)
    return int(text)


async def _history(agent: AgentProcess) -> tuple[LocalRun, ...]:
    return await read_history(StateDir(agent.state), None, 10)
