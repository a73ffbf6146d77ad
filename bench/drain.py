"""Throughput: how fast queued processes that do nothing are run and their ends recorded, against others and two floors.

Everybody gets a full queue first and is started then; the rate counts from the first claim to the last recorded end, by
the database's clock. Who ends last has to have written everything down.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from bench import children
from bench.figures import Effort, Figures, goal, ratio, rotate
from bench.ground import Agent, Ground, Project, started, until
from bench.programs import NOOP
from bench.rivals import procrastinate_queue, queue_table

COUNT, QUICK_COUNT = 5_000, 200
CONCURRENCY = 16
BATCHES = (1, 32)
"""Of the queue's floor: the better one counts."""
GOAL_OF_FLOOR, GOAL_OF_RIVAL = 0.6, 1.5
GOAL_OF_COST_MS = 3.0
"""Processor time of all processes for one request (docs/adr/0025)."""
GOAL_OF_ONE = 0.95
"""More agents must not be slower than one; less than this is no noise."""
FLEETS, QUICK_FLEETS = (1, 2, 4), (2,)
FLEET_SHARE = 4
"""A fleet drains one part in so many of the requests: there are three of them."""
DUE_IN_S = 4.0
"""After a fleet's queue is filled: Realtime has told everybody by then."""
LIMIT_S = 600.0
JOBS = f"limits: {{concurrency: {CONCURRENCY}}}\njobs:\n  noop: {{run: ['{NOOP[0]}'], overlap: allow}}\n"
SHARED_JOBS = JOBS.replace("overlap: allow", "overlap: allow, placement: any")

QUEUE = """
insert into cron_run_requests (project_id, job_id, requested_by, status, run_at)
select %s, 'noop', 'ui', 'queued', now() + make_interval(secs => %s) from generate_series(1, %s)
"""
BEGUN = "select exists (select 1 from cron_run_requests where project_id = %s and status <> 'queued') as yes"
LEFT = (
    "select exists (select 1 from cron_run_requests where project_id = %s and status in ('queued', 'running')) as yes"
)
RATE = """
select count(*) / extract(epoch from max(completed_at) - min(picked_up_at))::float8 as per_s,
       count(*) filter (where status = 'done') as done, sum(claims)::int as claims,
       (select min(taken) from (select count(*) as taken from cron_run_requests where project_id = %s
                                group by result ->> 'agent_id') as each)::float8 / count(*) as smallest_share
from cron_run_requests where project_id = %s
"""
RUNS = "select count(*) as runs, count(distinct request_id) as requests from cron_runs where project_id = %s"


async def measure(ground: Ground, effort: Effort) -> dict[str, Any]:
    """`{ours, procrastinate, queue_floor, spawn_floor: {per_s…}}`, ratios, and `shared` by the number of agents."""
    count = effort.choose(COUNT, QUICK_COUNT)
    rival, floor = await ground.database("drain_procrastinate"), await ground.database("drain_queue")
    measured = await rotate(
        {
            "ours": lambda: ours(ground, count),
            "procrastinate": lambda: procrastinate(rival, count),
            "queue_floor": lambda: queue(floor, count),
            "spawn_floor": lambda: spawn(count),
        },
        effort,
    )
    sizes = QUICK_FLEETS if effort.quick else FLEETS
    fleets = {f"{size}_agents": partial(fleet, ground, size, max(1, count // FLEET_SHARE)) for size in sizes}
    shared = await rotate(fleets, effort)
    rates = {name: figures["per_s"] for name, figures in measured.items()}
    to_floor, to_rival = (ratio(rates["ours"], rates[name]) for name in ("spawn_floor", "procrastinate"))
    cost_ms = sum(value for name, value in measured["ours"].items() if name.startswith("cpu_") and name.endswith("_ms"))
    alone, *more = [figures["per_s"] for figures in shared.values()]
    return {
        "goals": [
            goal("ours to the floor of spawning", to_floor, at_least=GOAL_OF_FLOOR),
            goal("ours to Procrastinate", to_rival, at_least=GOAL_OF_RIVAL),
            goal("processor time of a request (ms)", round(cost_ms, 3), at_most=GOAL_OF_COST_MS),
            *(
                goal(f"{size} agents to one", ratio(rate, alone), at_least=GOAL_OF_ONE)
                for size, rate in zip(sizes[1:], more, strict=True)
            ),
        ],
        "requests": count,
        "ours_to_queue_floor": ratio(rates["ours"], rates["queue_floor"]),
        **measured,
        "shared": shared,
    }


async def ours(ground: Ground, count: int) -> Figures:
    """One agent process against the whole stack."""
    project = await ground.project()
    agent = await project.agent(JOBS)
    await ground.sql(QUEUE, project.id, 0, count)
    async with started(agent):
        return await drained(project, [agent], count)


async def fleet(ground: Ground, size: int, count: int) -> Figures:
    """Several agents share the job and its queue. All of them are there before the first request is due."""
    project = await ground.project()
    agents = [await project.agent(SHARED_JOBS, name=f"bench-{number}") for number in range(size)]
    async with AsyncExitStack() as stack:
        for agent in agents:
            await stack.enter_async_context(started(agent))
        await project.mirrored(agents[0], 1, agents=size)
        await ground.sql(QUEUE, project.id, DUE_IN_S, count)
        return await drained(project, agents, count)


async def drained(project: Project, agents: list[Agent], count: int) -> Figures:
    """Wait for the end. `cpu_…_ms`: processor time for each request, by whose it was."""
    ground = project.ground
    pids = {agent.folder.name: agent.pid for agent in agents}

    async def begun() -> bool:
        for agent in agents:
            agent.check()
        return bool((await ground.sql(BEGUN, project.id))[0]["yes"])

    async def done() -> bool:
        for agent in agents:
            agent.check()
        return not (await ground.sql(LEFT, project.id))[0]["yes"]

    await until(begun)
    before = ground.cpu(pids)
    await until(done, timeout_s=LIMIT_S, every_s=0.1)
    after = ground.cpu(pids)
    await until(partial(_recorded, project, count))
    (row,) = await ground.sql(RATE, project.id, project.id)
    if (row["done"], row["claims"]) != (count, count):
        raise RuntimeError(f"{count} requests, but {row['done']} done and {row['claims']} claims")
    spent = {name: (after[name] - before[name]) * 1000 / count for name in after}
    mine = sum(spent.pop(name) for name in pids)
    parts = {"cpu_agent_ms": mine, **{f"cpu_{name}_ms": each for name, each in spent.items()}}
    return {"per_s": row["per_s"], **parts, **({"smallest_share": row["smallest_share"]} if len(agents) > 1 else {})}


async def _recorded(project: Project, count: int) -> bool:
    """Whether every request has its run. RuntimeError when one has two."""
    (row,) = await project.ground.sql(RUNS, project.id)
    if row["runs"] > row["requests"]:
        raise RuntimeError(f"{row['runs']} runs of {row['requests']} requests: something ran twice")
    return bool(row["runs"] == count)


async def procrastinate(dsn: str, count: int) -> Figures:
    """Its own worker, in its own database of the same cluster."""
    await procrastinate_queue.queue(dsn, count)
    await children.run("bench.rivals.procrastinate_worker", dsn, str(CONCURRENCY), "drain")
    return {"per_s": procrastinate_queue.rate(dsn)}


async def queue(dsn: str, count: int) -> Figures:
    """The better of single rows and batches."""
    rates = []
    for batch in BATCHES:
        queue_table.create(dsn, count)
        await children.run("bench.rivals.queue_floor", dsn, str(CONCURRENCY), str(batch))
        rates.append(queue_table.rate(dsn))
    return {"per_s": max(rates)}


async def spawn(count: int) -> Figures:
    """No database."""
    return {"per_s": (await children.run("bench.rivals.spawn_floor", str(count), str(CONCURRENCY)))["per_s"]}
