"""Clocks that step, and nights on which they are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.chaos.nights import Night, expected_slots, nights
from tests.chaos.scenario import scenario
from tests.chaos.world import PATIENCE_S, World
from tests.support.ledger import Broken, Kind, Work, mark_script
from tests.support.waiting import wait_until

STEP_S = 7200
ODD = "tests.support.odd_clock"


@scenario("wall-clock", brittle=True)
async def wall_clock(world: World) -> None:
    """The wall clock is set forward and back by up to two hours; now and then the server ends the session as well."""
    mark = mark_script(world.folder)
    requested = "".join(f"  {job}: {{run: [{mark}], overlap: allow}}\n" for job in ("quick", "slow"))
    minute = f"  minute: {{every: 20s, run: [{mark}], overlap: allow}}\n"
    world.ledger.work = Work(yaml=f"jobs:\n{requested}{minute}", every_s={"minute": 20})
    offset = world.folder / "offset"
    offset.write_text("0")
    agent = world.new_agent()
    agent.module, agent.extra_environment = ODD, {"ODD_CLOCK_OFFSET": str(offset)}
    agent.start()
    await world.hears()
    before = await world.descriptors(agent)
    for _ in range(world.times(1, 3)):
        for seconds in (STEP_S, 0, -STEP_S, world.rng.randrange(-STEP_S, STEP_S), 0):
            offset.write_text(str(seconds))
            if world.long and world.rng.random() < 1 / 3:
                world.project.sql("delete from auth.sessions where user_id = %s", world.project.agent.user_id)
            world.press(2, "quick", "slow")
            await world.lapse(0.5, 2)
            await world.recovered()
    world.found += await before.again(agent)


@scenario("dst-nights")
async def dst_nights(world: World) -> None:
    """Nights on which clocks change, in four zones, at many times the speed: every slot once, none beside them."""
    rate = world.times(1500, 900)
    chosen = world.rng.sample(nights(), world.times(2, 4))
    mark = mark_script(world.folder)
    world.ledger.work = Work(yaml="")
    for night in chosen:
        agent = world.new_agent(night.name, jobs=night.yaml(mark), person=world.project.add_person("agent"))
        agent.module = ODD
        agent.extra_environment = {"ODD_CLOCK_START": night.start.isoformat(), "ODD_CLOCK_RATE": str(rate)}
        agent.start()
    for night in chosen:
        await wait_until(lambda night=night: _decided(world, night), PATIENCE_S)
        await wait_until(lambda night=night: not _open(world, night), PATIENCE_S)
        world.found += _compare(world, night)


def _decided(world: World, night: Night) -> bool:
    """Whether the night's clock has passed its end: every slot until then is decided and told."""
    rows = world.project.sql(
        "select 1 from cron_runs where project_id = %s and job_id = %s and scheduled_for > %s",
        *(world.project.project_id, f"{night.name}-quarter", night.end + timedelta(minutes=15)),
    )
    return bool(rows)


def _open(world: World, night: Night) -> bool:
    """Whether a slot of the night still waits for its catch-up."""
    rows = world.project.sql(
        "select 1 from cron_runs where project_id = %s and agent_id = %s and scheduled_for <= %s "
        "and status in ('running', 'missed')",
        *(world.project.project_id, night.name, night.end),
    )
    return bool(rows)


def _compare(world: World, night: Night) -> list[Broken]:
    rows = world.project.sql(
        "select job_id, scheduled_for, status from cron_runs where project_id = %s and agent_id = %s",
        *(world.project.project_id, night.name),
    )
    broken = []
    for job, expected in expected_slots(night).items():
        told = {row["scheduled_for"].astimezone(UTC) for row in rows if row["job_id"] == job}
        inside = {at for at in told if night.start < at <= night.end}
        broken += [Broken(kind=Kind.LOST, what=f"{job}: no row for {_both(at, night)}") for at in expected - inside]
        broken += [Broken(kind=Kind.DOUBLED, what=f"{job}: {_both(at, night)} is no slot") for at in inside - expected]
    not_ok = [row for row in rows if row["status"] != "ok" and row["scheduled_for"] <= night.end]
    return broken + [Broken(kind=Kind.LOST, what=f"{row}") for row in not_ok]


def _both(at: datetime, night: Night) -> str:
    return f"{at:%Y-%m-%dT%H:%MZ} ({at.astimezone(ZoneInfo(night.zone)):%H:%M} there)"
