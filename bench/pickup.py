"""Insert → claimed, and → result written: Run is pressed over HTTP, the agent hears of it through Realtime."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.cli.demo.world import World
from bench.figures import Effort

REQUESTS = 200
PAUSE_S = 0.05
"""Between one request's end and the next: the agent is idle again, as it is when somebody presses Run."""
WAIT_S = 20.0


async def measure(_: Effort) -> dict[str, Any]:
    """`{"claimed": {"p50_ms","p95_ms"}, "written": …, "requests": n}`, from the database's own timestamps."""
    with tempfile.TemporaryDirectory(prefix="cronmirror-bench-") as folder:
        async with World(Path(folder) / "demo", port=None, say=lambda _: None) as world:
            rows = [await _one(world) for _ in range(REQUESTS)]
    claimed = [_ms(row["requested_at"], row["picked_up_at"]) for row in rows]
    written = [_ms(row["requested_at"], row["completed_at"]) for row in rows]
    return {"requests": len(rows), "claimed": _figures(claimed), "written": _figures(written)}


async def _one(world: World) -> dict[str, Any]:
    request = await world.operator.press_run("hello")
    async with asyncio.timeout(WAIT_S):
        while (row := await world.operator.request(request["id"]))["status"] != "done":
            assert row["status"] != "error", row
            await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(PAUSE_S)
    return row


def _ms(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000


def _figures(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        name: round(value, 1) for name, value in (("p50_ms", cuts[49]), ("p95_ms", cuts[94]), ("max_ms", max(values)))
    }
