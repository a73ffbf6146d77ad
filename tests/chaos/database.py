"""Postgres and the gateway go away."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.waiting import wait_until

TERMINATE = (
    "select count(pg_terminate_backend(pid)) from pg_stat_activity "
    "where pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')"
)


@scenario("kill-postgres", brittle=True)
async def kill_postgres(world: World) -> None:
    """Postgres is killed (-9) under load and comes back by itself: its supervisor starts it again."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(2, 5)):
        world.press(world.rng.randrange(2, 8))
        await world.lapse(0.2, 2)
        pid = world.stack.database_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        world.kills += 1
        world.press(3)
        await wait_until(lambda pid=pid: world.stack.database_pid not in (None, pid), PATIENCE_S)
        await world.recovered()
    world.found += await before.again(agent)


@scenario("restart-postgres", brittle=True, bounded=False)
async def restart_postgres(world: World) -> None:
    """Postgres is stopped in order for some seconds while the gateway stays, as in an upgrade."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 3)):
        world.press(5)
        await world.lapse(0.2, 1)
        await asyncio.to_thread(world.stack.stop_database)
        await world.lapse(1, 3)
        await asyncio.to_thread(world.stack.start_database)
        await world.recovered()
    world.found += await before.again(agent)


@scenario("restart-gateway", brittle=True)
async def restart_gateway(world: World) -> None:
    """The gateway is away for some seconds; Postgres stays."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(2, 5)):
        world.press(world.rng.randrange(2, 8))
        await world.lapse(0, 1.5)
        await asyncio.to_thread(world.stack.stop_gateway)
        world.press(3)
        await world.lapse(0.2, 3)
        await asyncio.to_thread(world.stack.start_gateway)
        await world.recovered()
    world.found += await before.again(agent)


@scenario("terminate-backends", brittle=True)
async def terminate_backends(world: World) -> None:
    """Every backend is terminated, again and again, in the middle of what it does; the change feed's too."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(6, 20)):
        world.press(world.rng.randrange(1, 5))
        await world.lapse(0, 0.8)
        world.project.sql(TERMINATE)
    await world.recovered()
    world.found += await before.again(agent)
