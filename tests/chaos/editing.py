"""The configuration changes under the agent's hands."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_until

BROKEN = ("jobs: [", "  nonsense: {every: 15 minuts, run: [ls]}\n", "\tx", "limits: {concurrency: 0}\n")
HEADING = "env_file: agent.env\n"


@scenario("config-edits")
async def config_edits(world: World) -> None:
    """The configuration is rewritten a hundred times under load: jobs come and go, and one edit in six is no YAML."""
    agent = await world.ready_agent()
    before, base = await world.descriptors(agent), agent.config.read_text().removeprefix(HEADING)
    for turn in range(world.times(30, 100)):
        world.press(world.rng.randrange(3))
        more = "".join(f"  more-{n}: {{run: [ls]}}\n" for n in range(world.rng.randrange(5)))
        text = base.replace("concurrency: 6", f"concurrency: {world.rng.randrange(2, 9)}") + more
        if world.rng.random() < 1 / 6:
            text += world.rng.choice(BROKEN)
        _save(world, agent, text)
        await world.lapse(0, 0.2)
        if turn % 25 == 0:
            await world.recovered()
    _save(world, agent, base + "  the-last: {run: [ls]}\n")
    await wait_until(lambda: _mirrored(world) == {*_jobs(world), "the-last"}, PATIENCE_S)
    (shown,) = world.project.sql("select config_error from cron_agents where project_id = %s", world.project.project_id)
    await world.recovered()
    assert shown["config_error"] is None or await wait_until(lambda: _healthy(world), PATIENCE_S)
    world.found += await before.again(agent)


def _save(world: World, agent: AgentProcess, text: str) -> None:
    """As one editor does, a new file over the old one, or as another: the same file, emptied and written in halves."""
    if world.rng.random() < 1 / 2:
        agent.write_config(text)
        return
    with agent.config.open("w") as file:
        for half in (HEADING + text[: len(text) // 2], text[len(text) // 2 :]):
            file.write(half)
            file.flush()


def _jobs(world: World) -> set[str]:
    return {*world.ledger.REQUESTED, *world.ledger.work.every_s}


def _mirrored(world: World) -> set[str]:
    rows = world.project.sql("select job_id from cron_mirror where project_id = %s", world.project.project_id)
    return {row["job_id"] for row in rows}


def _healthy(world: World) -> bool:
    query = "select config_error from cron_agents where project_id = %s"
    return all(row["config_error"] is None for row in world.project.sql(query, world.project.project_id))
