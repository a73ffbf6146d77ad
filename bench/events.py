"""From an INSERT to the event at its subscribers, through the whole of `/realtime/v1/websocket`.

A signed-in user's channels, row-level security asked for each of them. The time runs from before the statement is sent
until the frame is there, by one clock. Every subscriber counts; *last* is the one who hears it last.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Effort, Figures, goal, percentiles, rotate
from bench.ground import Ground
from bench.throughput import prepared

INSERTS, QUICK_INSERTS = 100, 5
SUBSCRIBERS = {1: 10.0, 50: 40.0}
"""How many → what the p50 of all may be (ms)."""
PAUSE_S = 0.02
LIMIT_S = 30.0
PUBLISHED = "alter publication supabase_realtime add table bench_log"
INSERT = "insert into bench_log (owner, body) values (%s, %s)"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{"1 subscriber", "50 subscribers": {p50_ms, p95_ms, last_p50_ms}}`."""
    count = effort.choose(INSERTS, QUICK_INSERTS)
    who, token = await prepared(ground)
    await ground.sql(PUBLISHED)
    measured = {}
    goals = []
    for size, limit in SUBSCRIBERS.items():
        name = f"{size} {'subscriber' if size == 1 else 'subscribers'}"

        async def turn(size: int = size) -> Figures:
            return await heard(ground, who, token, size, count)

        measured[name] = (await rotate({name: turn}, effort))[name]
        goals.append(goal(f"{name}, p50 (ms)", measured[name]["p50_ms"], at_most=limit))
    return {"goals": goals, "inserts": count, "subscribers": measured}


async def heard(ground: Ground, who: str, token: str, size: int, count: int) -> Figures:
    """One after the other, with a pause between."""
    address = ground.url.replace("http", "ws", 1) + f"/realtime/v1/websocket?apikey={ground.key}&vsn=2.0.0"
    everybody, last = [], []
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connect(address)) for _ in range(size)]
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(_join(line, number, token) for number, line in enumerate(lines)))
        for number in range(count):
            waiting = [asyncio.create_task(_event(line)) for line in lines]
            begun = time.perf_counter()
            await ground.sql(INSERT, who, f"number {number}")
            async with asyncio.timeout(LIMIT_S):
                took = [(each - begun) * 1000 for each in await asyncio.gather(*waiting)]
            everybody += took
            last.append(max(took))
            await asyncio.sleep(PAUSE_S)
    return {**percentiles(everybody, 50, 95), "last_p50_ms": round(statistics.median(last), 3)}


async def _join(line: ClientConnection, number: int, token: str) -> None:
    binding = {"event": "INSERT", "schema": "public", "table": "bench_log"}
    config = {"config": {"postgres_changes": [binding]}, "access_token": token}
    await line.send(json.dumps(["1", "1", f"realtime:bench-{number}", "phx_join", config]))
    while True:
        _, _, _, event, payload = json.loads(await line.recv())
        if event == "system":
            if payload["status"] != "ok":
                raise RuntimeError(f"no subscription: {payload}")
            return


async def _event(line: ClientConnection) -> float:
    """When the next change came."""
    while True:
        frame = await line.recv()
        now = time.perf_counter()
        if "postgres_changes" in str(frame):
            return now
