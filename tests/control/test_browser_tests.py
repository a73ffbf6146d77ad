"""Where a machine has no browser its tests are left out with a word, and never in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.agent_process import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OTHERS = "tests/control/test_hosts.py"


def run(nowhere: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The tests of a machine without a browser on PATH."""
    keep = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=keep | {"PATH": str(nowhere)} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_browser_they_are_left_out_with_a_word_and_the_rest_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "-vv", "tests/dashboard", OTHERS)
    assert done.returncode == 0, done.stdout
    assert f"{OTHERS}::" in done.stdout
    assert "(the browser tests of tests/dashboard are left out: there is no chromium on PATH)" in done.stdout
    assert "test_run" not in done.stdout


def test_whoever_runs_others_hears_nothing_of_them(tmp_path: Path) -> None:
    done = run(tmp_path, OTHERS, CRONMIRROR_REQUIRE_BROWSER="1")
    assert (done.returncode, "browser" in done.stdout) == (0, False), done.stdout


def test_where_they_are_required_it_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, "tests/dashboard", OTHERS, CRONMIRROR_REQUIRE_BROWSER="1")
    assert done.returncode == 4
    assert "there is no chromium on PATH" in done.stderr
