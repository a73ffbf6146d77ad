"""Another user of the same machine: reads what he can, lists processes, plants files where ours will be written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import plistlib
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agent.adapters.files import StateDir, ensure_private_enough
from agent.adapters.payloads import PayloadFiles
from agent.adapters.secrets import Secrets
from agent.cli.demo.operator import Operator
from agent.cli.demo.world import World
from agent.errors import ConfigError, StackError, StateError
from agent.service.launchd import Launchd
from agent.service.systemd import Systemd
from agent.service.unit import ServiceSpec
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.agent_process import ROOT
from tests.support.stack import Project, StackThread
from tests.support.waiting import wait_until

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(path: Path) -> bool:
    """Whether somebody else could open it: neither itself nor a folder above keeps him out."""
    return all(place.lstat().st_mode & OTHERS for place in (path, *path.parents))


def everything(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent) / name for name in (*folders, *files))


def test_nothing_that_the_stack_keeps_or_starts_can_be_read_by_others(stack: StackThread, tmp_path: Path) -> None:
    state = stack.local._dir
    kept = [*everything(state), *everything(socket_folder(stack))]
    assert {"keys.json", "postgres.password", "postgres.log", ".s.PGSQL.5432"} <= {path.name for path in kept}
    assert [path for path in kept if open_to_others(path)] == []
    secrets = [stack.keys.jwt_secret, stack.keys.secret_key, stack.keys.service_key, stack.local.database.password]
    started = psutil.Process().children(recursive=True)
    assert any("postgres" in process.name() for process in started)
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):  # backends come and go
            shown = " ".join([*process.cmdline(), *process.environ().values()])
            assert not any(secret in shown for secret in secrets), process.pid


def socket_folder(stack: StackThread) -> Path:
    found = re.search(r"host=([^&]+)", stack.dsn)
    assert found
    return Path(found[1].replace("%2F", "/"))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.xdist_group("e2e")
async def test_an_agent_shows_others_neither_secrets_nor_files_and_jobs_do_not_get_its_credentials(
    start_agent: StartAgent, operator: Operator, project: Project, tmp_path: Path
) -> None:
    jobs = """\
jobs:
  look:
    env: {STATS_KEY: "${STATS_KEY}"}
    payload: {type: object}
    shell: 'env; echo "$STATS_KEY" | base64; tr "\\\\0" " " < /proc/$PPID/cmdline; sleep 1'
"""
    agent = start_agent(jobs, STATS_KEY="a-secret-of-the-job")
    await mirrored(operator)
    asked = await operator.rpc("cron_request_run", p_job_id="look", p_payload={"pin": 1})
    payload = await wait_until(lambda: list((agent.state / "payloads").glob("*.json")))
    assert [path for path in everything(agent.state) if open_to_others(path)] == []
    assert [path for path in (agent.state / "session.json", *payload) if path.stat().st_mode & OTHERS] == []
    row = await ended(operator, asked["id"])
    said = row["result"]["stdout_tail"]
    assert "STATS_KEY=***" in said
    for secret in (project.agent.password, project.keys.publishable_key, "a-secret-of-the-job"):
        assert secret not in said
        assert secret not in agent.log.read_text()
    for process in (psutil.Process(agent.pid), *psutil.Process(agent.pid).children(recursive=True)):
        assert project.agent.password not in " ".join(process.cmdline())
    assert not list((agent.state / "payloads").iterdir())


def test_the_agents_credentials_in_its_own_environment_are_not_inherited_by_jobs(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "project: p\njobs: {look: {run: [env]}}\n"
        'supabase: {url: "http://127.0.0.1:1", key: "${MY_KEY}", email: a@b.c, password: "${MY_PASSWORD}"}\n'
    )
    config.chmod(0o600)
    environ = {**os.environ, "MY_KEY": "the key", "MY_PASSWORD": "the password", "CRONMIRROR_PASSWORD": "another"}
    options = ["--config", str(config), "--state-dir", str(tmp_path / "state")]
    command = [sys.executable, "-m", "agent", "exec", "look", *options]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert "HOME=" in done.stdout
    assert not re.search(r"the key|the password|another|\*\*\*", done.stdout + done.stderr)


def test_links_and_files_planted_where_ours_will_be_written_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    state = StateDir(tmp_path / "state")
    (state.path / "lock").symlink_to(victim)
    with pytest.raises(StateError, match="cannot be opened"), state.lock():
        pass
    run = uuid4()
    state.payloads.mkdir()
    (state.payloads / f"{run}.json").symlink_to(victim)
    with pytest.raises(StateError, match="cannot be written"):
        PayloadFiles(state.payloads).write(run, {})
    (state.path / "last-good.yaml").symlink_to(victim)
    state.keep_config("project: p")  # replaces the link
    assert victim.read_text() == "precious"


def test_no_script_writes_to_a_name_in_tmp_that_can_be_guessed() -> None:
    for script in (*(ROOT / "scripts").iterdir(), ROOT / "Makefile", ROOT / ".ci" / "run"):
        assert not re.search(r"/tmp/[\w.-]*\$\$|/tmp/[\w-]+", script.read_text()), script.name


async def test_what_is_planted_in_the_current_folder_is_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` looks there first: a demo that is begun in /tmp would run what anybody left in it."""
    for name in ("typer.py", "structlog.py", "agent.py"):
        (tmp_path / name).write_text("open('owned', 'w')\nraise SystemExit(9)\n")
    begun: list[tuple[str, ...]] = []

    async def record(*argv: str, **_: object) -> None:
        begun.append(argv)

    (tmp_path / "demo").mkdir()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", record)
    await World(tmp_path / "demo", port=None, say=lambda _: None)._start_agent()
    for argv in (*begun, *service_commands(tmp_path)):
        done = version_from(tmp_path, argv)
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "owned").exists()
    assert version_from(tmp_path, ("python", "-m", "agent")).returncode == 9  # so it was a trap


def version_from(folder: Path, argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The same interpreter and options, for a verb that ends, in that folder."""
    command = [sys.executable, *argv[1 : argv.index("agent") + 1], "version"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def service_commands(folder: Path) -> list[tuple[str, ...]]:
    """What launchd and systemd would start."""
    paths = {name: folder / name for name in ("config", "state_dir", "home")}
    spec = ServiceSpec(project="p", python=Path(sys.executable), path="/bin", drain_timeout_s=1, **paths)
    plist = Launchd(folder, ROOT / "launchd", lambda _: (0, "")).render(spec)
    unit = Systemd(folder, ROOT / "launchd", lambda _: (0, "")).render(spec)
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    return [
        tuple(plistlib.loads(plist.encode())["ProgramArguments"]),
        tuple(shlex.split(start.removeprefix("ExecStart="))),
    ]


def test_a_folder_of_somebody_else_is_no_place_for_a_demo_or_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateError, match="belongs to another user"):
        StateDir(folder)


async def test_a_demo_does_not_begin_in_a_folder_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could exchange the configuration that the demo's agent is about to run."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises((StateError, StackError), match="belongs to another user"):
        async with World(folder, port=None, say=lambda _: None):
            pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_who_can_write_the_configuration_decides_what_runs_so_nobody_else_may(tmp_path: Path, mode: int) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("project: p\n")
    config.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by others"):
        ensure_private_enough(config)
    config.chmod(0o600)
    link = tmp_path / "shared" / "config.yaml"
    link.parent.mkdir()
    link.symlink_to(config)
    link.parent.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by others"):
        ensure_private_enough(link)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_an_env_file_that_others_may_read_or_write_is_not_read(tmp_path: Path, mode: int) -> None:
    env_file = tmp_path / "agent.env"
    env_file.write_text("PATH_OF_EVIL=/evil\n")
    env_file.chmod(mode)
    secrets = Secrets(tmp_path, {})
    with pytest.raises(ConfigError, match="can be read or written by others"):
        secrets.add_env_file("agent.env")
    assert secrets.variable("PATH_OF_EVIL") is None
