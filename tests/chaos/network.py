"""Bad lines between the agent and the gateway."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import World


@scenario("black-hole")
async def black_hole(world: World) -> None:
    """Nothing comes through for longer than a call may take; what was sent arrives late, after its repetition."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 3)):
        world.press(6)
        await world.lapse(0, 0.5)
        world.proxy.swallow()
        world.press(4)
        await world.lapse(3, world.times(5, 25))
        world.proxy.flow()
        await world.recovered()
    world.found += await before.again(agent)


@scenario("reset")
async def reset(world: World) -> None:
    """Every connection is reset, again and again, at random instants."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(15, 60)):
        world.press(world.rng.randrange(3))
        await world.lapse(0, 0.6)
        await world.proxy.reset()
    await world.recovered()
    world.found += await before.again(agent)


@scenario("cut", bounded=False)
async def cut(world: World) -> None:
    """Nobody listens any more: every attempt to connect is refused, for seconds at a time."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(2, 6)):
        world.press(4)
        await world.lapse(0, 1)
        await world.proxy.cut()
        world.press(3)
        await world.lapse(0.5, 4)
        await world.proxy.mend()
        await world.recovered()
    world.found += await before.again(agent)


@scenario("latency")
async def latency(world: World) -> None:
    """Two seconds for every round trip."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    world.proxy.latency_s = 1.0
    for _ in range(world.times(1, 6)):
        world.press(5)
        await world.lapse(1, 4)
    await world.ledger.settled(300)
    world.proxy.latency_s = 0.0
    await world.recovered()
    world.found += await before.again(agent)


@scenario("slow-line")
async def slow_line(world: World) -> None:
    """One kilobyte a second in either direction."""
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    world.proxy.bytes_per_s = 1000.0
    for _ in range(world.times(1, 5)):
        world.press(4)
        await world.lapse(1, 4)
    world.proxy.bytes_per_s = 0.0
    await world.recovered()
    world.found += await before.again(agent)


@scenario("realtime-half-open")
async def realtime_half_open(world: World) -> None:
    """Realtime's connection is open and silent while REST lives."""
    await _half_open(world, calls=False, frames=True)


@scenario("rest-half-open")
async def rest_half_open(world: World) -> None:
    """REST connects and never answers while Realtime speaks."""
    await _half_open(world, calls=True, frames=False)


async def _half_open(world: World, *, calls: bool, frames: bool) -> None:
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 3)):
        world.proxy.swallow(calls=calls, frames=frames)
        for _ in range(3):
            world.press(3)
            await world.lapse(0.5, world.times(1, 10))
        world.proxy.flow()
        await world.recovered()
    world.found += await before.again(agent)
