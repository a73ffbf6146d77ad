"""Several agents of one project."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.ledger import Work, mark_script
from tests.support.waiting import wait_until

NAMES = ("one", "two", "three")


@scenario("three-agents")
async def three_agents(world: World) -> None:
    """Three agents work off 300 requests while every second one of them is killed and started again."""
    mark = mark_script(world.folder)
    shared = f'  shared: {{run: [{mark}, "0.05"], overlap: allow, placement: any}}\n'
    world.ledger.work = Work(yaml=f"limits: {{concurrency: 4}}\njobs:\n{shared}")
    agents = [await world.ready_agent(name, person=world.project.add_person("agent")) for name in NAMES]
    world.press(world.times(60, 300), "shared")
    for _ in range(world.times(6, 60)):
        await world.lapse(1)
        agent = world.rng.choice(agents)
        world.kill(agent)
        agent.start()
    await wait_until(world.ledger.insist, PATIENCE_S)
    await world.recovered("shared")
