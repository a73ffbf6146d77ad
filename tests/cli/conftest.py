"""Runs the real command in a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cronmirror = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """\
project: home
jobs:
  hello: {run: [echo, hello]}
  broken: {shell: "echo why >&2; exit 3"}
  nightly: {schedule: "0 3 * * *", timezone: Europe/Berlin, run: [echo, night]}
  sized:
    shell: 'cat "$CRONMIRROR_PAYLOAD"'
    payload: {type: object, properties: {width: {type: integer, minimum: 1}}, required: [width]}
  secret: {shell: 'echo "token is $TOKEN"', env: {TOKEN: "${MY_TOKEN}"}}
"""


@pytest.fixture
def cronmirror(tmp_path: Path) -> Cronmirror:
    """`cronmirror("jobs", "--json")` in an empty folder with an empty home."""
    folder = tmp_path / "work"
    folder.mkdir(mode=0o700)

    def run(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG") or "COV" in name}
        return subprocess.run(
            [sys.executable, "-m", "agent", *arguments],
            cwd=folder,
            env={**keep, "HOME": str(tmp_path), "TZ": "UTC", "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "config.yaml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path
