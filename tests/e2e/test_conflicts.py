"""Two of one kind: agents with one id, processes in one state directory, demos in one folder, programs on one port."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.demo import world
from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.demo import running_demo, surroundings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

REFUSED = 5


async def test_a_second_process_in_the_same_state_directory_is_refused_with_the_first_ones_pid(
    start_agent: StartAgent, operator: Operator
) -> None:
    jobs = "jobs:\n  hello: {run: [echo, hello]}\n"
    first = start_agent(jobs)
    await mirrored(operator, 1)
    second = start_agent(jobs, run=False)
    second.state = first.state
    assert await _exit(second.start()) == REFUSED
    said = second.log.read_text()
    assert str(first.state) in said
    assert f"process {first.pid}" in said
    assert "CRONMIRROR_STATE_DIR" in said
    assert (await ended(operator, (await operator.press_run("hello"))["id"]))["status"] == "done"


async def test_a_second_agent_with_the_same_id_is_refused_until_it_takes_over(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    files = {name: tmp_path / name for name in ("first", "second")}
    jobs = {
        name: f"jobs:\n  who: {{run: [echo, {name}]}}\n  tick: {{every: 1s, shell: 'echo x >> {file}'}}\n"
        for name, file in files.items()
    }
    first = start_agent(jobs["first"])
    await mirrored(operator, 2)
    second = start_agent(jobs["second"])
    assert await _exit(second) == REFUSED
    said = second.log.read_text()
    assert socket.gethostname() in said
    assert "--takeover" in said
    assert (await ended(operator, (await operator.press_run("who"))["id"]))["result"]["stdout_tail"] == "first\n"

    second.log.unlink()
    second.start("--takeover")
    assert await _exit(first) == REFUSED
    assert "another process is this agent" in first.log.read_text()
    ticked = len(files["first"].read_text())
    await mirrored(operator, 2, timeout=30)
    for _ in range(2):
        row = await ended(operator, (await operator.press_run("who"))["id"], timeout=30)
        assert row["result"]["stdout_tail"] == "second\n"
    assert len(files["first"].read_text()) == ticked
    (agent,) = await operator.select("cron_agents")
    assert agent["state"] == "online"


async def test_demos_in_one_folder_or_on_one_port_are_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    async with running_demo(folder) as demo:
        for options in (["--once"], ["--once", "--fresh"]):
            same_folder = await _cronmirror("demo", *options, "--dir", str(folder))
            assert (same_folder.returncode, "already running" in same_folder.stderr) == (REFUSED, True)
            assert "another folder" in same_folder.stderr
        same_port = await _cronmirror("demo", "--once", "--dir", str(tmp_path / "other"), "--port", str(demo.port))
        assert same_port.returncode == REFUSED
        assert f"port {demo.port}" in same_port.stderr
        assert "Choose another port" in same_port.stderr
        pressed = await _cronmirror(
            *("request", "hello", "--wait", "--json", "--config", str(folder / "config.yaml")),
            *("--state-dir", str(folder)),
        )
        assert pressed.returncode == 0, pressed.stderr
        assert json.loads(pressed.stdout)["status"] == "done"


async def test_a_fresh_demo_removes_what_demos_made_and_leaves_everything_else(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear diary")
    (folder / "stack").mkdir()
    never = await _cronmirror("demo", "--once", "--fresh", "--dir", str(folder))
    assert (never.returncode, "not made by a demo" in never.stderr) == (REFUSED, True)
    first = await _cronmirror("demo", "--once", "--json", "--dir", str(folder))
    assert first.returncode == 0, first.stderr
    timeline = json.loads(first.stdout)
    steps = [timeline[name] for name in ("claimed", "started", "finished", "written")]
    assert steps == sorted(steps)
    assert 0 < timeline["realtime_event"] < timeline["written"]
    assert {each.name for each in folder.iterdir()} > {"stack", "config.yaml", "session.json"}
    (folder / "config.yaml").write_text("broken: [")
    again = await _cronmirror("demo", "--once", "--json", "--fresh", "--dir", str(folder))
    assert (again.returncode, json.loads(again.stdout)["status"]) == (0, "done"), again.stderr
    world.erase(folder)
    assert [each.name for each in folder.iterdir()] == ["letter.txt"]


async def _cronmirror(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "agent", *arguments],
        **surroundings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def _exit(agent: AgentProcess) -> int:
    return await asyncio.to_thread(agent.wait, 40)
