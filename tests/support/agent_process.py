"""A real agent: `python -m agent run` in a folder of its own, its log read as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 45.0
"""For what takes a second, on a machine that is busy with ten other things. One that ended is noticed at once."""

_ENDS_WITH_US, _HELD = os.pipe()


class AgentProcess:
    """Starts, signals and reads one agent. `folder` holds config.yaml, agent.env, state/ and agent.log.

    It ends with the tests, however they end: its standard input is a pipe that they alone hold, and never write to.
    """

    def __init__(self, folder: Path, config: str, secrets: dict[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.config = folder / "config.yaml"
        self.log = folder / "agent.log"
        self.state = folder / "state"
        env_file = folder / "agent.env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
        env_file.chmod(0o600)
        self.write_config(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.module = "agent"
        """What is run; `tests.support.odd_clock` is the same agent under another clock."""
        self.extra_environment: dict[str, str] = {}

    def write_config(self, text: str) -> None:
        """Replace the configuration as an editor does: a new file, renamed over the old one."""
        fresh = self.folder / ".config.yaml.new"
        fresh.write_text("env_file: agent.env\n" + text)
        fresh.chmod(0o600)
        fresh.replace(self.config)

    def environment(self) -> dict[str, str]:
        keep = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "PYTHONPATH")
        return {name: os.environ[name] for name in keep if name in os.environ} | self.extra_environment

    def start(self, *more: str, level: str = "debug") -> AgentProcess:
        options = ["--config", str(self.config), "--state-dir", str(self.state), "--log-format", "json"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "run", "--until-eof", *options, "--log-level", level, *more],
                cwd=ROOT,
                env=self.environment(),
                stdin=_ENDS_WITH_US,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log so far, or its lines whose event is `event`."""
        lines: list[dict[str, Any]] = []
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else []:
            try:
                each = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(each, dict) and (event is None or each.get("event") == event):
                lines.append(each)
        return lines

    async def wait_event(self, event: str, count: int = 1, timeout: float = PATIENCE_S) -> dict[str, Any]:
        def seen() -> list[dict[str, Any]]:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
            found = self.events(event)
            return found if len(found) >= count else []

        try:
            return (await wait_until(seen, timeout))[count - 1]
        except AssertionError as err:
            raise AssertionError(f"no event {event!r}\n{self.log.read_text()[-4000:]}") from err

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE_S) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, wait, and KILL where that takes too long. The exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        assert self.process is not None
        self.process.kill()
        self.wait()
