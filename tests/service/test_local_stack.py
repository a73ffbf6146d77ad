"""The local stack as a service: what differs from an agent's."""

from __future__ import annotations

import plistlib
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.service import ServiceSpec
from agent.service.launchd import Launchd
from agent.service.systemd import Systemd

TEMPLATES = Path(__file__).parents[2] / "launchd"


@pytest.fixture
def spec(tmp_path: Path) -> ServiceSpec:
    return ServiceSpec(
        kind="local",
        project="stack",
        python=Path(shutil.which("python3") or "/usr/bin/python3"),
        state_dir=tmp_path / "the stack",
        home=tmp_path,
        path="/usr/bin:/bin",
        drain_timeout_s=20,
    )


def nothing(argv: object) -> tuple[int, str]:
    return 0, ""


def test_the_plist_starts_the_stack(spec: ServiceSpec, tmp_path: Path) -> None:
    manager = Launchd(tmp_path, TEMPLATES, nothing)
    plist = plistlib.loads(manager.render(spec).encode())
    assert plist["ProgramArguments"][1:] == ["-P", "-m", "agent", "local", "start", "--dir", str(spec.state_dir)]
    assert plist["Label"] == "app.cronmirror-local.stack"
    assert plist["StandardErrorPath"] == str(spec.state_dir / "stack.log")  # the one that is rotated


def test_the_unit_starts_the_stack_and_passes_systemds_own_check(spec: ServiceSpec, tmp_path: Path) -> None:
    text = Systemd(tmp_path, TEMPLATES, nothing).render(spec)
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert shlex.split(line)[1:] == ["-P", "-m", "agent", "local", "start", "--dir", str(spec.state_dir)]
    assert "{{" not in text
    if analyze := shutil.which("systemd-analyze"):
        unit = tmp_path / "cronmirror-test.service"
        unit.write_text(text)
        env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
        verify = [analyze, "verify", "--user", "--man=no", str(unit)]
        done = subprocess.run(verify, capture_output=True, text=True, env=env, check=False)
        assert (done.returncode, [x for x in done.stderr.splitlines() if unit.name in x]) == (0, [])


@pytest.mark.parametrize("kind", [Launchd, Systemd])
def test_no_agent_has_the_same_file(kind: type, spec: ServiceSpec, tmp_path: Path) -> None:
    manager = kind(tmp_path, TEMPLATES, nothing)
    for project in ("stack", "local-stack", "local.stack"):
        agent = ServiceSpec(
            project=project,
            python=spec.python,
            config=tmp_path / "config.yaml",
            state_dir=tmp_path,
            home=tmp_path,
            path=spec.path,
            drain_timeout_s=1,
        )
        assert manager.file(agent) != manager.file(spec)
