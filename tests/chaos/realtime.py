"""Realtime as its documentation has it: a message may be lost. And as it may be: twice, and in another order."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import World
from tests.support.websocket_frames import Shuffle


@scenario("realtime-shuffle")
async def realtime_shuffle(world: World) -> None:
    """Changes that Realtime tells are dropped, doubled and told in another order."""
    shuffle = Shuffle(world.rng, lost=0.4, doubled=0.25, held=0.25)
    world.proxy.meddle = shuffle
    agent = await world.ready_agent()
    before = await world.descriptors(agent)
    for _ in range(world.times(12, 50)):
        world.press(world.rng.randrange(1, 4))
        await world.lapse(0, 0.5)
    if world.long:  # else the next change that is told says it for all that were not
        await world.ledger.settled(300)
    assert shuffle.dropped, f"of {shuffle.seen} changes none was dropped"
    assert shuffle.doubled, f"of {shuffle.seen} changes none was doubled"
    world.proxy.meddle = None
    await world.recovered()
    world.found += await before.again(agent)
