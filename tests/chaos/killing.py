"""Agents that die or freeze."""

from __future__ import annotations

from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.waiting import wait_until

AGED_LEASES = (
    "update cron_leases l set expires_at = now() - interval '1 second' from cron_run_requests r "
    "where r.id = l.request_id and r.project_id = %s and l.agent_id = %s"
)
AGED_BEATS = (
    "update cron_agent_beats set last_seen_at = now() - interval '5 minutes' where project_id = %s and agent_id = %s"
)
RESCUER = (
    "update cron_agent_beats set beating_since = now() - interval '5 minutes' where project_id = %s and agent_id = %s"
)
WORKING = 2 / 3
"""So many kills hit an agent at work; the others may hit it while it starts."""
PAGE_IS_OPEN = (
    "update cron_projects set swept_at = now() - interval '20 seconds', swept_since = now() - interval '5 minutes' "
    "where project_id = %s"
)
OTHER = 'limits: {concurrency: 2}\njobs:\n  elsewhere: {run: ["true"]}\n'


@scenario("kill-agent")
async def kill_agent(world: World) -> None:
    """The agent is killed (-9) at random instants, while it starts, claims, runs and reports, and started again."""
    agent = await world.ready_agent()
    for _ in range(world.times(6, 70)):
        world.press(world.rng.randrange(4))
        if world.rng.random() < WORKING:
            await wait_until(lambda: world.works(agent), PATIENCE_S)
        await world.lapse(0, 3)
        world.kill(agent)
    await world.recovered()


@scenario("freeze-past-lease")
async def freeze_past_lease(world: World) -> None:
    """SIGSTOP past the lease: another agent, or a page, rescues what it held; its late results must change nothing."""
    agent = await world.ready_agent()
    if world.long:
        await world.ready_agent("rescuer", jobs=OTHER, person=world.project.add_person("agent"))
    truly = world.long and world.rng.random() < 1 / 3
    for _ in range(world.times(1, 2)):
        held = [world.ledger.press("slow") for _ in range(3)]
        await wait_until(lambda held=held: _running(world, held), PATIENCE_S)
        with world.frozen(agent):
            world.press(2)
            if not truly:
                _age(world)
            await wait_until(lambda held=held: not _running(world, held, every=False), PATIENCE_S)
        await world.recovered()
    await world.schedule_goes_on()


def _age(world: World) -> None:
    """Minutes pass for the lease and its holder, not for whoever may rescue: the other agent, or else a page."""
    project = world.project.project_id
    for statement in (AGED_LEASES, AGED_BEATS):
        world.project.sql(statement, project, "mac")
    if world.long:
        world.project.sql(RESCUER, project, "rescuer")
    else:
        world.project.sql(PAGE_IS_OPEN, project)
        world.project.sql("select cron_sweep_project(%s, null)", project)


def _running(world: World, ids: list[str], *, every: bool = True) -> bool:
    """Whether all of these (or any) are running."""
    rows = world.project.sql("select status from cron_run_requests where id = any (%s::uuid[])", ids)
    return (all if every else any)(row["status"] == "running" for row in rows)
