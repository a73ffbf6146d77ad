"""From a fresh clone with a warm package cache to the first request done, and the second start."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import Effort, goal

ROOT = Path(__file__).parents[1]
LIMIT_S = 600
GOAL_BOTH_S, GOAL_AGAIN_S = 60, 6


async def measure(_: Effort) -> dict[str, Any]:
    """Seconds of `make install`, of the first `demo --once` and of the second."""
    return await asyncio.to_thread(_measure)


def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="cronmirror-bench-") as folder:
        clone, state = Path(folder) / "clone", Path(folder) / "demo"
        subprocess.run(["git", "clone", "-q", "--no-local", str(ROOT), str(clone)], check=True)
        demo = [str(clone / ".venv/bin/cronmirror"), "demo", "--once", "--dir", str(state)]
        figures = {
            "install_s": _timed(["make", "-s", "install"], clone),
            "first_demo_s": _timed(demo, clone),
            "second_demo_s": _timed(demo, clone),
        }
    both = round(figures["install_s"] + figures["first_demo_s"], 1)
    goals = [
        goal("`make install` and the first request done (s)", both, at_most=GOAL_BOTH_S),
        goal("the second start (s)", figures["second_demo_s"], at_most=GOAL_AGAIN_S),
    ]
    return {"goals": goals, **figures, "install_and_first_request_s": both}


def _timed(command: Sequence[str], folder: Path) -> float:
    began = time.monotonic()
    subprocess.run(list(command), cwd=folder, check=True, capture_output=True, timeout=LIMIT_S)
    return round(time.monotonic() - began, 1)
