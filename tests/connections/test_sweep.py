"""The sweep: what is due is refreshed in time, one failure stops nothing, what others do is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from agent.connections.sweep import LOOK_EVERY_S
from agent.errors import StateError
from agent.model import Tokens
from tests.support.clock import settle
from tests.support.fake_connections import BUSY, DEAD, HOUR_S, WRONG_CLIENT, Keeping, a_connection, a_job

DAY_S = 86_400.0
SWEEP_EVERY_S = 300.0
DRIVE = a_connection()


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of days: a look every two seconds is what takes their time."""
    monkeypatch.setattr("agent.connections.sweep.LOOK_EVERY_S", HOUR_S)


@asynccontextmanager
async def sweeping(keeping: Keeping) -> AsyncIterator[None]:
    task = asyncio.create_task(keeping.sweep.run())
    await settle()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_expires_within_twenty_minutes_is_refreshed_and_nothing_else() -> None:
    keeping = Keeping(a_connection("soon"), a_connection("late"))
    keeping.provider.lifetime_s["late"] = 2 * HOUR_S
    await keeping.sign_in("soon")
    await keeping.sign_in("late")
    await keeping.clock.advance(HOUR_S - 1200)

    swept = await keeping.sweep.once()

    assert (swept.refreshed, swept.failed, swept.skipped) == (["soon"], [], ["late"])


async def test_twenty_minutes_are_a_third_of_a_short_life_at_most() -> None:
    keeping = Keeping()
    keeping.provider.lifetime_s["drive"] = 900.0
    await keeping.sign_in()
    await keeping.clock.advance(599)
    assert (await keeping.sweep.once()).skipped == ["drive"]

    await keeping.clock.advance(1)
    assert (await keeping.sweep.once()).refreshed == ["drive"]


async def test_one_that_fails_stops_no_other(monkeypatch) -> None:
    keeping = Keeping(*(a_connection(name) for name in ("a", "b", "broken", "d")))
    for name in ("a", "b", "broken", "d"):
        await keeping.sign_in(name)
    await keeping.clock.advance(HOUR_S)
    keeping.provider.answers["a"] = [BUSY]
    keeping.provider.answers["b"] = [DEAD]
    tokens = keeping.store.tokens

    async def unreadable(name: str) -> Tokens | None:
        if name == "broken":
            raise StateError("damaged")
        return await tokens(name)

    monkeypatch.setattr(keeping.store, "tokens", unreadable)
    with capture_logs() as logs:
        swept = await keeping.sweep.once()

    assert (swept.refreshed, swept.failed) == (["d"], ["a", "b", "broken"])
    assert {"event": "connections swept", "log_level": "info", "refreshed": 1, "failed": 3, "skipped": 0} in logs


async def test_a_run_that_would_outlive_its_token_is_prepared() -> None:
    keeping = Keeping(next_run=lambda _job, now: now + timedelta(minutes=10))
    keeping.jobs.reload(a_job(DRIVE, timeout_s=HOUR_S / 2))
    await keeping.sign_in()
    await keeping.clock.advance(HOUR_S / 4)
    assert (await keeping.sweep.once()).skipped == ["drive"]

    await keeping.clock.advance(HOUR_S / 4)
    assert (await keeping.sweep.once()).refreshed == ["drive"]


async def test_a_job_that_is_switched_off_wants_nothing() -> None:
    keeping = Keeping(next_run=lambda _job, now: now + timedelta(minutes=10))
    keeping.jobs.reload(a_job(DRIVE, timeout_s=HOUR_S / 2, enabled=False))
    await keeping.sign_in()
    await keeping.clock.advance(HOUR_S / 2)

    assert (await keeping.sweep.once()).skipped == ["drive"]


async def test_a_run_in_the_far_future_is_not_prepared_yet() -> None:
    keeping = Keeping(next_run=lambda _job, now: now + timedelta(hours=2))
    await keeping.sign_in()
    await keeping.clock.advance(HOUR_S / 2)

    assert (await keeping.sweep.once()).skipped == ["drive"]


@pytest.mark.usefixtures("rarely")
async def test_what_nothing_used_is_proved_once_a_day() -> None:
    keeping = Keeping()
    keeping.provider.lifetime_s["drive"] = 60 * DAY_S
    await keeping.sign_in()
    async with sweeping(keeping):
        await keeping.clock.advance(DAY_S / 2)
        await keeping.keeper.token_for(a_job(DRIVE))
        await keeping.clock.advance(DAY_S - 600)
        assert keeping.provider.asked == [], "a run has used it"

        await keeping.clock.advance(900)
        assert keeping.provider.asked == ["drive"]


async def test_it_sweeps_every_five_minutes_from_the_start() -> None:
    keeping = Keeping()
    keeping.provider.lifetime_s["drive"] = 60.0
    await keeping.sign_in()
    await keeping.clock.advance(60)
    async with sweeping(keeping):
        assert len(keeping.provider.asked) == 1

        await keeping.clock.advance(3 * SWEEP_EVERY_S)
        assert len(keeping.provider.asked) == 4


async def test_after_a_sleep_it_sweeps_at_once() -> None:
    keeping = Keeping()
    await keeping.sign_in()
    async with sweeping(keeping):
        keeping.clock.step_wall(timedelta(hours=8))
        keeping.sweep.kick()
        await settle()

        assert keeping.provider.asked == ["drive"]


async def test_a_sign_in_in_another_process_releases_jobs_within_seconds() -> None:
    keeping = Keeping()
    await keeping.keeper.load()
    async with sweeping(keeping):
        assert keeping.keeper.held(a_job(DRIVE))
        cli = Keeping(clock=keeping.clock, provider=keeping.provider, store=keeping.store)
        await cli.sign_in()
        await keeping.clock.advance(LOOK_EVERY_S)

        assert not keeping.keeper.held(a_job(DRIVE))


async def test_another_client_secret_in_the_yaml_is_tried_at_once() -> None:
    keeping = Keeping()
    await keeping.sign_in()
    await keeping.clock.advance(HOUR_S)
    keeping.provider.answers["drive"] = [WRONG_CLIENT] * 3
    async with sweeping(keeping):
        await keeping.clock.advance(3 * SWEEP_EVERY_S)
        assert keeping.keeper.held(a_job(DRIVE))
        asked = len(keeping.provider.asked)

        keeping.connections.connections[:] = [a_connection(client_secret="another")]
        keeping.jobs.reload(a_job(DRIVE))
        await settle()

        assert not keeping.keeper.held(a_job(DRIVE))
        assert len(keeping.provider.asked) == asked + 1


@pytest.mark.usefixtures("rarely")
async def test_a_connection_that_is_held_is_left_in_peace() -> None:
    keeping = Keeping()
    await keeping.sign_in()
    await keeping.clock.advance(HOUR_S)
    keeping.provider.answers["drive"] = [DEAD]
    async with sweeping(keeping):
        await keeping.clock.advance(DAY_S)

        assert keeping.provider.asked == ["drive"]
        assert keeping.alerts == ["disconnected"]
