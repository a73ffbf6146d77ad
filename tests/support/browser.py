"""pytest plugin: what the browser tests of `tests/dashboard/` need of the machine, a Chromium and the built page.

Where something is lacking they are left out, and the last lines say so; `CRONMIRROR_REQUIRE_BROWSER=1` (CI) makes it an
error. Decided once, before xdist starts its workers: they inherit the answer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "dashboard"
LEFT_OUT = "CRONMIRROR_BROWSER_TESTS_LEFT_OUT"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The browser of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or not _asked_for(config):
        return
    os.environ.pop(LEFT_OUT, None)
    lacking = _lacking()
    if lacking and os.environ.get("CRONMIRROR_REQUIRE_BROWSER") == "1":
        raise pytest.UsageError(f"the browser tests can't run: {lacking}")
    if lacking:
        os.environ[LEFT_OUT] = lacking


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if LEFT_OUT in os.environ and TESTS in collection_path.parents else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lacking := os.environ.get(LEFT_OUT):
        terminalreporter.write_line(f"(the browser tests of tests/dashboard are left out: {lacking})", yellow=True)


def _asked_for(config: pytest.Config) -> bool:
    """Whether these tests are among those that were named: whoever runs a few others waits for no build."""
    named = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    return any(place in (TESTS, *TESTS.parents) or TESTS in place.parents for place in named)


def _lacking() -> str | None:
    if chromium() is None:
        return f"there is no {NAMES[0]} on PATH"
    if subprocess.run([ROOT / "scripts/page-is-stale"], check=False).returncode != 0:
        return None
    built = subprocess.run(
        [ROOT / "scripts/build-page", os.environ.get("VIRTUAL_ENV", ROOT / ".venv")],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (built.stdout + built.stderr).strip().splitlines()
    return None if built.returncode == 0 else (said[-1] if said else "the page was not built")
