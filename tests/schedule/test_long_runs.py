"""Weeks and nights end to end: what was decided is what the calendar says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from agent.schedule import scheduler as loop
from tests.schedule.conftest import World, cron
from tests.support.fake_stages import a_job

MONTH = {
    "nightly": ("0 3 * * *", "Europe/Berlin"),
    "hourly": ("17 * * * *", "America/New_York"),
    "quarters": ("*/15 9-17 * * 1-5", "Australia/Sydney"),
    "monthly": ("30 4 1,15 * *", "Asia/Tokyo"),
    "vixie": ("0 12 13 * 5", "UTC"),
}


async def test_a_month_decides_the_slots_that_cronsim_names(monkeypatch):
    monkeypatch.setattr(loop, "LONGEST_SLEEP_S", 3600.0)
    start = datetime(2026, 3, 8, 4, 59, tzinfo=UTC)
    world = World(start)
    await world.start(*(a_job(name, schedule=cron(*written)) for name, written in MONTH.items()))
    await world.advance(days=31)
    await world.kill()
    for name, (expr, zone) in MONTH.items():
        slots = (each.astimezone(UTC) for each in CronSim(expr, start.astimezone(ZoneInfo(zone))))
        expected = list(takewhile(lambda each: each <= start + timedelta(days=31), slots))
        assert [run.scheduled_for for run in world.runner.runs if run.job.id == name] == expected, name
    assert world.journal.reports == []


@pytest.mark.parametrize(
    ("zone", "start", "fixed", "hourly", "expected_fixed", "expected_hourly"),
    [
        ("Europe/Berlin", "2026-03-29T01:10", "30 2 * * *", "0 * * * *",
         ["03:00 +0200"], ["03:00 +0200", "04:00 +0200"]),
        (
            "Europe/Berlin", "2026-10-25T01:10", "30 2 * * *", "0 * * * *",
            ["02:30 +0200"], ["02:00 +0200", "02:00 +0100", "03:00 +0100"],
        ),
        ("America/New_York", "2026-03-08T01:10", "0,15 2 * * *", "*/30 * * * *",
         ["03:00 -0400"], ["01:30 -0500", "03:00 -0400", "03:30 -0400", "04:00 -0400"]),
        ("America/Sao_Paulo", "2018-11-03T23:10", "0 0 * * *", "0 * * * *",
         ["01:00 -0200"], ["01:00 -0200", "02:00 -0200"]),
        ("Australia/Lord_Howe", "2026-10-04T01:10", "10 2 * * *", "*/20 * * * *",
         ["02:30 +1100"], ["01:20 +1030", "01:40 +1030", "02:40 +1100", "03:00 +1100", "03:20 +1100", "03:40 +1100"]),
    ],
)  # fmt: skip
async def test_a_night_of_a_change(zone, start, fixed, hourly, expected_fixed, expected_hourly):
    here = ZoneInfo(zone)
    world = World(datetime.fromisoformat(start).replace(tzinfo=here).astimezone(UTC))
    await world.start(a_job("fixed", schedule=cron(fixed, zone)), a_job("hourly", schedule=cron(hourly, zone)))
    until = timedelta(hours=2, minutes=50 if "02:00 +0100" in expected_hourly else 0)
    await world.advance(seconds=until.total_seconds())
    await world.kill()

    def walls(job_id):
        runs = [run for run in world.runner.runs if run.job.id == job_id]
        return [f"{run.scheduled_for.astimezone(here):%H:%M %z}" for run in runs]

    assert walls("fixed") == expected_fixed
    assert walls("hourly") == expected_hourly
    assert world.journal.reports == []


async def test_a_night_slept_through_owes_the_slot_of_the_gap(world):
    schedule = cron("30 2 * * *", "Europe/Berlin")
    world.clock.step_wall(datetime(2026, 3, 29, 0, 50, tzinfo=UTC) - world.clock.now())
    await world.start(a_job(schedule=schedule))
    world.sleep(hours=8)
    await world.advance(seconds=10)
    assert world.ran() == ["catch_up 01:00 asleep"]  # 01:00 UTC is 03:00 in Berlin, the first instant after the gap
