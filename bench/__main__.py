"""Measure, print, keep the figures in bench/results.json, make the tables of docs/benchmarks.md anew.

`python -m bench [MEASURE…] [--quick | --full] [--count N] [--docs]`. Without names everything is measured (`steady`
only with `--full`). `--quick` shows that the programs work: its figures mean nothing and are not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.app.logs import configure
from bench import (
    cancel,
    dashboard,
    docs,
    drain,
    idle,
    mirror,
    pickup,
    realtime,
    retention,
    scheduler,
    start,
    steady,
    throughput,
)
from bench.figures import Effort
from bench.ground import Ground

RESULTS = Path(__file__).parent / "results.json"
INTERRUPTED = 130

ON_GROUND: dict[str, Callable[[Ground, Effort], Awaitable[dict[str, Any]]]] = {
    "pickup": pickup.measure,
    "cancel": cancel.measure,
    "drain": drain.measure,
    "mirror": mirror.measure,
    "idle": idle.measure,
    "dashboard": dashboard.measure,
    "throughput": throughput.measure,
    "realtime": realtime.measure,
    "steady": steady.measure,
}
"""Each gets a fresh stack of its own."""
ALONE: dict[str, Callable[[Effort], Awaitable[dict[str, Any]]]] = {
    "scheduler": scheduler.measure,
    "start": start.measure,
    "retention": retention.measure,
}
MEASURES = (*ON_GROUND, *ALONE)
ONLY_FULL = ("steady", "retention")
"""Measured when they are named, or with `--full`."""


def main() -> int:
    """Measure what was named, everything when nothing was. The exit code."""
    wishes = _arguments()
    if wishes.docs:
        docs.write()
        return 0
    configure(level="error", style="console")
    effort = Effort(quick=wishes.quick, full=wishes.full, count=wishes.count)
    for name in wishes.measures or [each for each in MEASURES if wishes.full or each not in ONLY_FULL]:
        print(f"── {name}", flush=True)
        began = time.monotonic()
        try:
            measured = asyncio.run(_interruptible(measure(name, effort)))
        except asyncio.CancelledError:
            print(f"{name}: interrupted; what it started has been ended", flush=True)
            return INTERRUPTED
        measured["measured"] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
        measured["measured"]["took_s"] = round(time.monotonic() - began)
        print(json.dumps(measured, indent=2), flush=True)
        if not effort.quick and effort.count is None:
            keep(name, measured)
            docs.write()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"one of {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="small numbers, one rotation; not kept")
    parser.add_argument("--full", action="store_true", help="what takes long, too")
    parser.add_argument("--docs", action="store_true", help="only make the tables of docs/benchmarks.md anew")
    parser.add_argument("--count", type=int, help="how many requests or jobs; not kept")
    wishes = parser.parse_args()
    if unknown := [name for name in wishes.measures if name not in MEASURES]:
        parser.error(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    return wishes


async def _interruptible(work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Ctrl-C and TERM cancel a measure, so that it ends what it started."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


async def measure(name: str, effort: Effort) -> dict[str, Any]:
    """One measure's figures."""
    if name in ALONE:
        return await ALONE[name](effort)
    async with Ground() as ground:
        return await ON_GROUND[name](ground, effort)


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}


def keep(name: str, measured: dict[str, Any]) -> None:
    """Replace one measure in results.json; the others stay."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = measured
    fresh = RESULTS.with_suffix(".new")
    fresh.write_text(json.dumps(results, indent=2) + "\n")
    fresh.replace(RESULTS)


if __name__ == "__main__":
    sys.exit(main())
