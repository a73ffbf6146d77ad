"""Kill -9 at every point: no slot runs twice, none is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import StateError
from agent.model import CatchUp, RunStatus
from agent.schedule import scheduler as loop
from tests.schedule.conftest import NOON, World, cron
from tests.support.fake_stages import a_job

HOURLY = cron("0 * * * *")


async def one_crash(world: World, at: str) -> None:
    """The process ends at this point of the slot of 13:00, and a new one begins `world.away` later."""
    await world.start(a_job(schedule=HOURLY))
    if at in {"decide", "decided"}:
        world.journal.kill_at = at
    else:
        world.runner.kill_at = at
    await world.advance(hours=1)
    await world.killed()


@pytest.mark.parametrize("at", ["decide", "decided", "submit"])
async def test_a_slot_that_never_began_runs_on_time_after_a_quick_restart(world, at):
    await one_crash(world, at)
    await world.advance(seconds=20)
    await world.start()
    assert world.ran() == ["schedule 13:00"]
    assert world.missed() == []
    await world.advance(minutes=30)
    assert world.journal.plans == {}
    assert world.ran() == ["schedule 13:00"]


@pytest.mark.parametrize("at", ["decide", "decided", "submit"])
async def test_and_is_missed_and_caught_up_after_a_slow_one(world, at):
    await one_crash(world, at)
    await world.advance(minutes=20)
    await world.start()
    assert world.missed() == ["13:00 agent_down"]
    assert world.ran() == ["catch_up 13:00 agent_down"]
    assert world.journal.plans == {}


@pytest.mark.parametrize("at", ["decide", "decided", "submit"])
async def test_of_it_and_the_slots_since_only_the_last_is_caught_up(world, at):
    await one_crash(world, at)
    await world.advance(hours=2, minutes=20)
    await world.start()
    assert world.missed() == ["13:00 agent_down", "14:00 agent_down", "15:00 agent_down"]
    assert world.ran() == ["catch_up 15:00 agent_down"]
    assert world.journal.plans == {}


@pytest.mark.parametrize("at", ["decide", "decided", "submit"])
async def test_a_crash_while_catching_up_changes_neither_cause_nor_choice(world, at):
    await world.start(a_job(schedule=HOURLY))
    world.sleep(hours=3, minutes=10)
    if at == "submit":
        world.runner.kill_at = at
    else:
        world.journal.kill_at = at
    await world.advance(seconds=10)
    await world.killed()
    await world.start()
    cause = "asleep" if at != "decide" else "agent_down"
    assert world.missed() == [f"{hour}:00 {cause}" for hour in (13, 14, 15)]
    assert world.ran() == [f"catch_up 15:00 {cause}"]


async def test_a_slot_that_began_is_never_begun_again(world):
    await one_crash(world, "begun")
    await world.start()
    await world.advance(minutes=40)
    assert world.ran() == ["schedule 13:00"]
    assert world.missed() == []


async def test_a_run_that_waited_for_its_turn_is_caught_up(world):
    world.runner.waits = True
    await world.start(a_job(schedule=HOURLY))
    await world.advance(hours=1, minutes=10)
    await world.kill()
    world.runner.waits = False
    await world.start()
    assert world.ran() == ["schedule 13:00", "catch_up 13:00 agent_down"]
    assert world.journal.history["a", NOON + timedelta(hours=1), 1] is RunStatus.RUNNING


@pytest.mark.parametrize("away_s", [0, 300])
@pytest.mark.parametrize("edited", [a_job(schedule=HOURLY, enabled=False), a_job("other")], ids=["disabled", "removed"])
async def test_a_slot_of_a_job_disabled_or_removed_in_between_is_missed_and_not_caught_up(world, edited, away_s):
    await one_crash(world, "decided")
    await world.advance(seconds=away_s)
    await world.start(edited)
    assert world.missed() == ["13:00 agent_down" if away_s else "13:00 rejected"]
    assert sum(world.counted) == (1 if away_s else 0)
    assert world.ran() == []
    assert world.journal.plans == {}


async def test_a_catch_up_that_the_policy_gave_up_is_dropped(world):
    await one_crash(world, "decided")
    await world.advance(minutes=5)
    await world.start(a_job(schedule=HOURLY, catch_up=CatchUp.NONE))
    assert world.missed() == ["13:00 agent_down"]
    assert world.ran() == []
    assert world.journal.plans == {}


async def test_a_commit_that_succeeded_and_failed_to_say_so_runs_its_slot_once(world, monkeypatch):
    await world.start(a_job(schedule=HOURLY))
    decide = world.journal.decide

    async def lost(**what):
        await decide(**what)
        monkeypatch.setattr(world.journal, "decide", decide)
        raise StateError("the answer was lost")

    monkeypatch.setattr(world.journal, "decide", lost)
    await world.advance(hours=1, seconds=30)
    assert world.ran() == ["schedule 13:00"]
    assert world.missed() == []


events = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 5400)),
        st.tuples(st.just("sleep"), st.integers(1, 20_000)),
        st.tuples(st.just("step back"), st.integers(1, 7200)),
        st.tuples(st.sampled_from(["kill", "decide", "decided", "submit", "begun", "pause", "resume"]), st.just(0)),
    ),
    max_size=25,
)


@given(events, st.sampled_from(["*/7 * * * *", "0 * * * *", "30 */3 * * *"]))
@settings(max_examples=60, deadline=None)
async def test_whatever_happens_every_slot_is_decided_exactly_once(events, expr):
    """The fake journal fails when a slot begins twice; here: none is missing, and with `all` none stays unrun."""
    loop_sleep, loop.LONGEST_SLEEP_S = loop.LONGEST_SLEEP_S, 300.0
    world = World()
    try:
        await world.start(a_job(schedule=cron(expr), catch_up=CatchUp.ALL, catch_up_window_s=10**7))
        for what, seconds in events:
            await happen(world, what, seconds)
        await happen(world, "resume", 0)
        await happen(world, "pass", 9000)
    finally:
        loop.LONGEST_SLEEP_S = loop_sleep
        if world.task:
            await world.kill()
    expected = slots_of(expr, world.journal.saved["a"])
    assert [slot for _, slot, _ in sorted(world.journal.history)] == expected
    assert set(world.journal.history.values()) <= {RunStatus.RUNNING}
    assert world.journal.plans == {}


async def happen(world: World, what: str, seconds: int) -> None:
    match what:
        case "pass":
            await world.advance(seconds=seconds)
        case "sleep":
            world.sleep(seconds=seconds)
        case "step back":
            world.sleep(seconds=-seconds)
        case "pause":
            world.pause.what = {"schedule"}
        case "resume":
            world.pause.what = set()
        case "decide" | "decided":
            world.journal.kill_at = what
        case "submit" | "begun":
            world.runner.kill_at = what
        case _:
            await world.kill()
    if world.task is None or world.task.done():
        if world.task:
            await world.killed()
        await world.start()


def slots_of(expr: str, until: datetime) -> list[datetime]:
    """All slots from noon on, counted out."""
    minutes, hours = {"*/7 * * * *": (7, 1), "0 * * * *": (60, 1), "30 */3 * * *": (30, 3)}[expr]
    found, at = [], NOON
    while at <= until:
        matches = at.minute % minutes == 0 if minutes != 30 else at.minute == 30
        if matches and at.hour % hours == 0 and at > NOON:
            found.append(at)
        at += timedelta(minutes=1)
    return found
