"""From the inserted row to the event, by how many listen; and whether many listeners miss any of many changes.

Every subscriber is a user of their own: Postgres is asked for each of them, by the table's policy, whether they see the
row. All see all rows, the most there can be to send.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from agent.localstack.keys import Keys
from bench import children
from bench.figures import Effort, Figures, goal, spread
from bench.ground import Ground

SUBSCRIBERS = (1, 10, 50)
GOALS_MS = {1: 10.0, 50: 40.0}
INSERTS, QUICK_INSERTS = 100, 10
GAP_S = 0.05
"""Between two inserts whose delay is measured: one change at a time."""
MANY, QUICK_MANY = 100, 10
RATE = 200
"""Changes per second."""
LONG_S, QUICK_LONG_S = 30, 1
HOUR_S = 3600

TABLE = """
create table bench_changes (id bigint primary key, sent double precision not null, note text not null);
alter table bench_changes enable row level security;
create policy signed_in on bench_changes for select to authenticated using (auth.uid() is not null);
grant select on bench_changes to authenticated;
alter publication supabase_realtime add table bench_changes
"""
BINDING = {"event": "INSERT", "schema": "public", "table": "bench_changes"}
INSERT = "insert into bench_changes values (%s, %s, 'a change as small as most of them are')"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{"delay": {"1": {p50_ms, p95_ms}, …}, "sustained": {missing, …}}`."""
    await ground.sql(TABLE)
    inserts = effort.choose(INSERTS, QUICK_INSERTS)
    bench = _Bench(ground)
    turns: dict[int, list[Figures]] = {count: [] for count in SUBSCRIBERS}
    for _ in range(effort.rotations):
        for count in SUBSCRIBERS:
            turns[count].append(await bench.one_at_a_time(count, inserts))
    delay = {f"{count}_subscribers": spread(each) for count, each in turns.items()}
    many = QUICK_MANY if effort.quick else MANY
    sustained = await bench.sustained(many, QUICK_LONG_S if effort.quick else LONG_S)
    goals = [
        goal(f"insert to event, {count} subscribers, p50 (ms)", delay[f"{count}_subscribers"]["p50_ms"], at_most=most)
        for count, most in GOALS_MS.items()
    ]
    goals.append(goal(f"events missed by {many} subscribers at {RATE} changes/s", sustained["missing"], at_most=0))
    return {"goals": goals, "inserts": inserts, "delay": delay, "sustained": sustained}


class _Bench:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._keys = Keys.load(ground.folder / "stack" / "keys.json")
        self._next = 0

    async def one_at_a_time(self, subscribers: int, inserts: int) -> Figures:
        """Delays of single inserts."""
        async with children.child("bench.listeners") as listeners:
            await self._subscribe(listeners, subscribers)
            for _ in range(inserts):
                await self._insert()
                await asyncio.sleep(GAP_S)
            told = await _ask(listeners, {"rows": inserts})
        return {"p50_ms": told["p50_ms"], "p95_ms": told["p95_ms"], "missing": told["missing"]}

    async def sustained(self, subscribers: int, seconds: int) -> Figures:
        """A change every 5 ms, whatever becomes of them."""
        async with children.child("bench.listeners") as listeners:
            await self._subscribe(listeners, subscribers)
            before, began = self._ground.cpu({}), time.monotonic()
            for number in range(RATE * seconds):
                await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
                await self._insert()
            took = time.monotonic() - began
            told = await _ask(listeners, {"rows": RATE * seconds})
            after = self._ground.cpu({})
        used = {f"{name}_cpu_pct": round(100 * (after[name] - before[name]) / took, 1) for name in before}
        figures = {"subscribers": subscribers, "seconds": seconds, "changes_per_s": round(RATE * seconds / took, 1)}
        return {**figures, **{key: round(value, 1) for key, value in told.items()}, **used}

    async def _subscribe(self, listeners: asyncio.subprocess.Process, count: int) -> None:
        tokens = [self._keys.mint({"role": "authenticated", "sub": str(uuid.uuid4())}, HOUR_S) for _ in range(count)]
        order = {"url": self._ground.url, "key": self._ground.key, "tokens": tokens, "binding": BINDING}
        await _ask(listeners, order)

    async def _insert(self) -> None:
        self._next += 1
        await self._ground.sql(INSERT, self._next, time.monotonic())


async def _ask(process: asyncio.subprocess.Process, line: Any) -> Any:
    assert process.stdin is not None
    process.stdin.write(children.line(line))
    await process.stdin.drain()
    return await children.answer(process)
