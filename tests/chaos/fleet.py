"""Several agents of one project."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.ledger import Work, mark_script
from tests.support.waiting import wait_until

NAMES = ("one", "two", "three")


@scenario("three-agents")
async def three_agents(world: World) -> None:
    """Three agents share 300 requests and every slot; each second one of them is killed and started again."""
    mark = mark_script(world.folder)
    shared = "".join(
        f'  {job}: {{run: [{mark}, "0.05"], overlap: allow, placement: any{more}}}\n'
        for job, more in (("shared", ""), ("beat", ", every: 1s"), ("chime", ', schedule: "*/2 * * * * *"'))
    )
    yaml = f"limits: {{concurrency: 4}}\njobs:\n{shared}"
    world.ledger.work = Work(yaml=yaml, every_s={"beat": 1, "chime": 2})
    agents = [await world.ready_agent(name, person=world.project.add_person("agent")) for name in NAMES]
    kills = world.times(5, 120)
    for _ in range(kills):
        world.press(world.times(60, 300) // kills + 1, "shared")
        await world.lapse(1)
        at_work = await wait_until(lambda: [each for each in agents if world.works(each)], PATIENCE_S)
        world.kill(world.rng.choice(at_work))
    await wait_until(world.ledger.insist, PATIENCE_S)
    await world.recovered("shared")
