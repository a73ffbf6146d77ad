"""What an agent with 100 jobs costs while nothing happens, and what a page that is left open hears of it.

The agent runs behind a proxy that counts; a tab listens to every published table of the project, as a page does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import Effort, Figures, goal, spread
from bench.ground import Ground, Project, own, started, until
from bench.meter import Meter

JOBS = 100
WINDOW_S, QUICK_WINDOW_S = 90.0, 1.0
SETTLE_S, QUICK_SETTLE_S = 10.0, 0.0
"""After the start: imports, the first sync, Realtime."""
MONTH_MIN = 30 * 24 * 60
RUNS_A_MONTH = JOBS * 24 * 30
"""Assumed for the month's messages: every job once an hour."""
RUNS, QUICK_RUNS = 50, 3
CHANGES = "postgres_changes"
TABLES = ("cron_mirror", "cron_run_requests", "cron_runs", "cron_agents", "cron_notifications")
GOALS = {
    "rss_mib": ("memory (MiB)", 90.0),
    "cpu_pct": ("processor (% of a core)", 0.5),
    "requests_per_min": ("requests a minute", 6.0),
}
MIB = 1024 * 1024
YAML = (
    "limits: {concurrency: 16}\njobs:\n"
    + "".join(f'  job-{number}: {{schedule: "0 3 1 1 *", run: ["true"]}}\n' for number in range(JOBS - 1))
    + '  now: {run: ["true"], overlap: allow}\n'
)

STEADY = "update cron_mirror set updated_at = now() - random() * interval '5 minutes' where project_id = %s"
QUEUE = """
insert into cron_run_requests (project_id, job_id, requested_by, status)
select %s, 'now', 'ui', 'queued' from generate_series(1, %s)
"""
DONE = "select count(*) as done from cron_run_requests where project_id = %s and status = 'done'"
PUBLISHED = "select tablename from pg_publication_tables where pubname = 'supabase_realtime'"
DONE_ONE = "select 1 from cron_run_requests where project_id = %s and status = 'done'"
PICKED = "select extract(epoch from picked_up_at)::float8 as at from cron_run_requests where project_id = %s"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{rss_mib, cpu_pct, requests_per_min}`, the start, and the Realtime messages of a month."""
    first_claims = [await _first_claim(ground) for _ in range(1, effort.rotations)]
    imports = [await _import_s() for _ in range(effort.rotations)]
    project = await ground.project()
    await ground.sql(QUEUE, project.id, 1)
    window_s = QUICK_WINDOW_S if effort.quick else WINDOW_S
    async with Meter(ground.url) as meter, Meter(ground.url) as tab:
        agent = await project.agent(YAML, url=meter.url)
        began = time.time()
        async with started(agent), _tab(project, tab):
            await project.mirrored(agent, JOBS)
            first_claims.append(await _claimed_at(project) - began)
            await ground.sql(STEADY, project.id)
            await asyncio.sleep(QUICK_SETTLE_S if effort.quick else SETTLE_S)
            idle = await _idle(agent.pid, meter, tab, window_s)
            runs = await _runs(project, meter, tab, effort.choose(RUNS, QUICK_RUNS))
    start = spread(
        [{"import_s": imp, "first_claim_s": claim} for imp, claim in zip(imports, first_claims, strict=True)]
    )
    goals = [goal(what, idle[key], at_most=bound) for key, (what, bound) in GOALS.items()]
    return {"goals": goals, "jobs": JOBS, "window_s": window_s, **idle, **start, "realtime": _month(idle, runs)}


async def _idle(pid: int, meter: Meter, tab: Meter, window_s: float) -> Figures:
    meter.reset()
    tab.reset()
    before, began = own(pid), time.monotonic()
    await asyncio.sleep(window_s)
    passed = time.monotonic() - began
    minutes = passed / 60
    return {
        "rss_mib": round(psutil.Process(pid).memory_info().rss / MIB, 1),
        "cpu_pct": round((own(pid) - before) / passed * 100, 3),
        "requests_per_min": round(meter.traffic.calls / minutes, 2),
        "bytes_per_min": round((meter.traffic.up.total() + meter.traffic.down.total()) / minutes),
        "tab_changes_per_min": round(tab.traffic.events[CHANGES] / minutes, 2),
        "agent_messages_per_min": round(_messages(meter) / minutes, 2),
    }


async def _runs(project: Project, meter: Meter, tab: Meter, count: int) -> Figures:
    """Messages for each run that somebody asked for."""
    meter.reset()
    tab.reset()
    await project.ground.sql(QUEUE, project.id, count)

    async def done() -> bool:
        return bool((await project.ground.sql(DONE, project.id))[0]["done"] == count + 1)

    await until(done)
    await asyncio.sleep(1.0)  # the last changes are on their way
    return {"tab": tab.traffic.events[CHANGES] / count, "agent": _messages(meter) / count}


def _month(idle: Figures, runs: Figures) -> dict[str, float]:
    """One open tab and the agent itself, 30 days, every job once an hour."""
    at_rest = {"tab": idle["tab_changes_per_min"] * MONTH_MIN, "agent": idle["agent_messages_per_min"] * MONTH_MIN}
    running = {who: each * RUNS_A_MONTH for who, each in runs.items()}
    return {
        "tab_changes_per_run": round(runs["tab"], 2),
        "agent_messages_per_run": round(runs["agent"], 2),
        "runs_a_month_assumed": RUNS_A_MONTH,
        "messages_a_month_at_rest": round(sum(at_rest.values())),
        "messages_a_month_of_runs": round(sum(running.values())),
        "messages_a_month": round(sum(at_rest.values()) + sum(running.values())),
    }


def _messages(meter: Meter) -> int:
    """What a subscriber is told; answers to its own joins and heartbeats are not counted."""
    events = meter.traffic.events
    return events.total() - events["phx_reply"] - events["system"]


@asynccontextmanager
async def _tab(project: Project, meter: Meter) -> AsyncIterator[None]:
    """A page that listens to its project's tables and does nothing else."""
    url = f"{meter.url.replace('http', 'ws', 1)}/realtime/v1/websocket?apikey={project.ground.key}&vsn=1.0.0"
    published = {row["tablename"] for row in await project.ground.sql(PUBLISHED)}
    changes = [
        {"event": "*", "schema": "public", "table": table, "filter": f"project_id=eq.{project.id}"}
        for table in TABLES
        if table in published
    ]
    join = {"config": {"postgres_changes": changes}, "access_token": await _token(project)}
    async with connect(url, compression=None) as socket:
        reading = asyncio.create_task(_read(socket))
        try:
            await socket.send(
                json.dumps(
                    {"topic": "realtime:page", "event": "phx_join", "payload": join, "ref": "1", "join_ref": "1"}
                )
            )
            await until(lambda: _subscribed(meter))
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _token(project: Project) -> str:
    """The operator's, as a page has it."""
    given = {"email": project.who.email, "password": project.who.password}
    async with httpx.AsyncClient(base_url=project.ground.url, headers={"apikey": project.ground.key}) as http:
        answer = await http.post("/auth/v1/token", params={"grant_type": "password"}, json=given)
    return str(answer.raise_for_status().json()["access_token"])


async def _read(socket: ClientConnection) -> None:
    async def beat() -> None:
        while True:
            await asyncio.sleep(25)
            await socket.send(json.dumps({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"}))

    beating = asyncio.create_task(beat())
    try:
        async for _ in socket:
            pass
    finally:
        beating.cancel()


async def _subscribed(meter: Meter) -> bool:
    return meter.traffic.events["system"] > 0


async def _import_s() -> float:
    """Importing what `cronmirror run` imports, without the interpreter's own start."""
    code = "import time; began = time.perf_counter(); import agent.cli.run; print(time.perf_counter() - began)"
    python = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _ = await python.communicate()
    return float(said)


async def _first_claim(ground: Ground) -> float:
    """From the start of the process, which has never run before, to the claim of a request that waits for it."""
    project = await ground.project()
    agent = await project.agent(YAML)
    await ground.sql(QUEUE, project.id, 1)
    began = time.time()
    async with started(agent):
        return await _claimed_at(project) - began


async def _claimed_at(project: Project) -> float:
    """When the first of its requests was claimed, once that one is done (a drain would give it back)."""
    await until(lambda: project.ground.sql(DONE_ONE, project.id))
    (row,) = await project.ground.sql(PICKED, project.id)
    return float(row["at"])
