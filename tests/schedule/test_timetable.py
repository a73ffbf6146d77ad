"""The timetable against its oracle (cronsim), and against tables where the rules are our own."""

from __future__ import annotations

import timeit
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.model import Command, Job, Schedule, ScheduleKind
from agent.schedule.timetable import next_fire, next_run_at, slots_between
from agent.schedule.wall import Twice, place

BERLIN = "Europe/Berlin"
PLAIN_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Sydney"]
ZONES = [
    "UTC",
    BERLIN,
    "America/New_York",
    "America/Sao_Paulo",  # gaps at midnight, until 2018
    "Africa/Cairo",  # gap at midnight
    "Asia/Kathmandu",  # +5:45
    "Australia/Sydney",
    "America/St_Johns",  # -3:30, once changed at 00:01
    "Pacific/Apia",  # without 2011-12-30
]


def cron(expr, timezone="UTC", **more) -> Schedule:
    return Schedule(kind=ScheduleKind.CRON, expr=expr, timezone=timezone, **more)


def utc(text) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(schedule, start, end) -> list[str]:
    """Slots in (start, end], as seen on the wall of the schedule's zone, with the offset."""
    zone = ZoneInfo(schedule.timezone)
    after, until = (datetime.fromisoformat(each).replace(tzinfo=zone) for each in (start, end))
    found = slots_between(schedule, after, until, 10_000)
    return [slot.astimezone(zone).strftime("%d %H:%M %z") for slot in found]


# ── the oracle ──────────────────────────────────────────────────────────────


def field(low, high, names=()):
    number = st.integers(low, high)
    item = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        # cronsim reads 5-5/2 as 5/2; cron, and we, as 5
        st.tuples(number, number, st.integers(1, 20))
        .filter(lambda each: each[0] != each[1])
        .map(lambda each: f"{min(each[:2])}-{max(each[:2])}/{each[2]}"),
        *([st.sampled_from(names)] if names else []),
    )
    return st.one_of(
        st.just("*"),
        st.integers(1, max(2, high)).map(lambda step: f"*/{step}"),
        st.lists(item, min_size=1, max_size=3).map(",".join),
    )


MONTHS = ["jan", "feb", "jun", "DEC"]
DAYS = ["mon", "TUE", "sun"]
five_fields = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 7, DAYS)).map(" ".join)
six_fields = st.tuples(field(0, 59), five_fields).map(" ".join)
instant = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))  # noqa: DTZ001


def oracle(expr, start, count) -> list[datetime]:
    try:
        return [slot.astimezone(UTC) for slot in islice(CronSim(expr, start), count)]
    except ValueError:
        return []
    except Exception as never:  # noqa: BLE001  # CronSimError: it proves some impossible dates up front
        assert "Bad day-of-month" in str(never)  # noqa: PT017
        return []


def ours(schedule, start, count) -> list[datetime]:
    slots = []
    slot = next_fire(schedule, start)
    while slot is not None and len(slots) < count:
        slots.append(slot)
        slot = next_fire(schedule, slot)
    return slots


@given(five_fields | six_fields, instant)
@settings(max_examples=400, deadline=None)
def test_it_agrees_with_cronsim_in_utc(expr, start):
    assert ours(cron(expr), start, 12) == oracle(expr, start, 12)


@given(five_fields, st.sampled_from(PLAIN_ZONES), instant)
@settings(max_examples=300, deadline=None)
def test_it_agrees_with_cronsim_in_zones_outside_of_folds(expr, name, start):
    zone = ZoneInfo(name)
    here = start.astimezone(zone)
    assume(not isinstance(place(here.replace(tzinfo=None), zone), Twice))
    assert ours(cron(expr, name), start, 12) == oracle(expr, here, 12)


# ── the nights of a change ──────────────────────────────────────────────────
# cronsim is no oracle here: it never returns in zones whose gap holds midnight and loses minutes where clocks move by
# half an hour. The reference walks through the real minutes and reads the wall clock, one by one.


@cache
def changes(name) -> list[datetime]:
    """Days (UTC) in which the zone's offset changes, 2005–2034."""
    zone = ZoneInfo(name)
    days = [datetime(2005, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(30 * 365)]
    return [
        one for one, next_ in pairwise(days) if one.astimezone(zone).utcoffset() != next_.astimezone(zone).utcoffset()
    ]


def by_the_minute(schedule, start, days) -> list[datetime]:
    """Slots in (start, start + days], by DESIGN §4.8 taken at its word. `start` is a whole minute."""
    zone = ZoneInfo(schedule.timezone)
    minutes = [start + timedelta(minutes=n) for n in range(-200, days * 1440 + 1)]
    walls = [minute.astimezone(zone).replace(tzinfo=None) for minute in minutes]
    wanted = set(takewhile(lambda each: each <= walls[-1], CronSim(schedule.expr, walls[0].replace(fold=0))))
    minute_field, hour_field, *_ = schedule.expr.split()
    fixed = not minute_field.startswith("*") and not hour_field.startswith("*")
    slots, seen, newest = set(), set(), walls[0]
    for minute, wall in zip(minutes, walls, strict=True):
        jumped = wall - newest > timedelta(minutes=1)
        if fixed and schedule.dst_gap == "run_after" and jumped and any(newest < each < wall for each in wanted):
            slots.add(minute)
        if wall in wanted and (wall not in seen or not fixed or schedule.dst_fold == "twice"):
            slots.add(minute)
        seen.add(wall.replace(fold=0))
        newest = max(newest, wall.replace(fold=0))
    return sorted(slot for slot in slots if start < slot <= start + timedelta(days=days))


nights = st.sampled_from([*ZONES[1:5], *ZONES[6:], "Australia/Lord_Howe"]).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(changes(name)), st.integers(-4, 20).map(lambda n: 30 * n + 1))
)
by_night = st.tuples(field(0, 59), field(0, 4) | field(22, 23), st.just("* * *")).map(" ".join)


@given(by_night, nights, st.sampled_from(["run_after", "skip"]), st.sampled_from(["once", "twice"]))
@settings(max_examples=60, deadline=None)
def test_on_the_nights_of_a_change_it_does_what_the_wall_clock_shows(expr, night, gap, fold):
    name, day, minutes = night
    start = day + timedelta(minutes=minutes)
    schedule = cron(expr, name, dst_gap=gap, dst_fold=fold)
    expected = by_the_minute(schedule, start, days=1)
    assert slots_between(schedule, start, start + timedelta(days=1), 10_000) == expected


@pytest.mark.parametrize(
    ("schedule", "start", "end", "expected"),
    [
        pytest.param(
            cron("30 2 * * *", BERLIN), "2026-03-28T12:00", "2026-03-30T12:00",
            ["29 03:00 +0200", "30 02:30 +0200"], id="in the gap a fixed schedule fires at the first instant after it",
        ),
        pytest.param(
            cron("0,10,20,59 2 * * *", BERLIN), "2026-03-29T00:00", "2026-03-29T12:00",
            ["29 03:00 +0200"], id="several slots in the gap collapse into one",
        ),
        pytest.param(
            cron("0 2,3 * * *", BERLIN), "2026-03-29T00:00", "2026-03-29T12:00",
            ["29 03:00 +0200"], id="and into the slot that is there anyway",
        ),
        pytest.param(
            cron("30 2 * * *", BERLIN, dst_gap="skip"), "2026-03-28T12:00", "2026-03-30T12:00",
            ["30 02:30 +0200"], id="or is skipped when the job says so",
        ),
        pytest.param(
            cron("30 2 * * *", BERLIN), "2026-10-24T12:00", "2026-10-26T12:00",
            ["25 02:30 +0200", "26 02:30 +0100"], id="in the fold a fixed schedule fires once",
        ),
        pytest.param(
            cron("30 2 * * *", BERLIN, dst_fold="twice"), "2026-10-24T12:00", "2026-10-26T12:00",
            ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"], id="or twice when the job says so",
        ),
        pytest.param(
            cron("0,30 2 * * *", BERLIN, dst_fold="twice"), "2026-10-25T00:00", "2026-10-25T12:00",
            ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"], id="pass after pass",
        ),
        pytest.param(
            cron("0 * * * *", BERLIN), "2026-10-25T00:30", "2026-10-25T03:30",
            ["25 01:00 +0200", "25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"], id="hourly fires in both hours",
        ),
        pytest.param(
            cron("@hourly", BERLIN), "2026-10-25T01:30", "2026-10-25T03:30",
            ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"], id="so does its alias",
        ),
        pytest.param(
            cron("*/30 * * * *", BERLIN), "2026-03-29T01:00", "2026-03-29T03:30",
            ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"], id="half-hourly follows real time over the gap",
        ),
        pytest.param(
            cron("0 */2 * * *", BERLIN), "2026-03-28T23:00", "2026-03-29T05:00",
            ["29 00:00 +0100", "29 04:00 +0200"], id="every other hour does not fire at 03:00 in spring",
        ),
        pytest.param(
            cron("0 30 2 * * *", BERLIN), "2026-03-28T12:00", "2026-03-30T12:00",
            ["29 03:00 +0200", "30 02:30 +0200"], id="with seconds a schedule is as fixed as without",
        ),
        pytest.param(
            cron("*/20 59 1 * * *", BERLIN), "2026-03-29T00:00", "2026-03-29T12:00",
            ["29 01:59 +0100"] * 3, id="seconds come first",
        ),
        pytest.param(
            cron("0 0 * * *", "America/Sao_Paulo"), "2018-11-03T12:00", "2018-11-05T12:00",
            ["04 01:00 -0200", "05 00:00 -0200"], id="a gap at midnight",
        ),
        pytest.param(
            cron("@daily", "America/Sao_Paulo"), "2018-11-03T12:00", "2018-11-05T12:00",
            ["04 01:00 -0200", "05 00:00 -0200"], id="a gap at midnight, by alias",
        ),
        pytest.param(
            cron("15 2 * * *", "Australia/Lord_Howe"), "2026-10-03T12:00", "2026-10-05T12:00",
            ["04 02:30 +1100", "05 02:15 +1100"], id="a gap of half an hour",
        ),
        pytest.param(
            cron("45 1 * * *", "Australia/Lord_Howe", dst_fold="twice"), "2026-04-04T12:00", "2026-04-05T12:00",
            ["05 01:45 +1100", "05 01:45 +1030"], id="a fold of half an hour",
        ),
        pytest.param(
            cron("0 9,17 * * *", "Pacific/Apia"), "2011-12-29T12:00", "2012-01-01T00:00",
            ["29 17:00 -1000", "31 00:00 +1400", "31 09:00 +1400", "31 17:00 +1400"], id="a day that never was",
        ),
        pytest.param(
            cron("0 */6 * * *", "Pacific/Apia"), "2011-12-29T12:00", "2011-12-31T12:00",
            ["29 18:00 -1000", "31 00:00 +1400", "31 06:00 +1400", "31 12:00 +1400"], id="and real time over it",
        ),
        pytest.param(
            cron("30 12 * * *", BERLIN), "2026-03-29T12:29", "2026-03-30T12:30",
            ["29 12:30 +0200", "30 12:30 +0200"], id="the end of the span is part of it",
        ),
    ],
)  # fmt: skip
def test_the_table_of_dst(schedule, start, end, expected):
    assert fires(schedule, start, end) == expected


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        pytest.param(cron("45 2 * * *", BERLIN), "01:30", "2026-10-26T01:45", id="the second pass has nothing, once"),
        pytest.param(cron("45 2 * * *", BERLIN, dst_fold="twice"), "01:30", "2026-10-25T01:45", id="but twice has"),
        pytest.param(cron("45 2 * * *", BERLIN, dst_fold="twice"), "00:50", "2026-10-25T01:45", id="back to it"),
        pytest.param(cron("*/30 */5 * * *", BERLIN), "00:30", "2026-10-25T04:00", id="nothing to go back to"),
        pytest.param(cron("*/30 2 * * *", BERLIN), "00:30", "2026-10-25T01:00", id="the second pass begins with it"),
    ],
)
def test_from_within_a_fold(schedule, after, expected):
    # clocks go back at 01:00 UTC: 00:00-01:00 UTC is the first pass, 01:00-02:00 the second
    assert next_fire(schedule, utc(f"2026-10-25T{after}")) == utc(expected)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
        ("@monthly", "2026-04-01T00:00"),
        ("@weekly", "2026-03-22T00:00"),
        ("@daily", "2026-03-19T00:00"),
        ("@midnight", "2026-03-19T00:00"),
        ("@hourly", "2026-03-18T16:00"),
        ("@Daily", "2026-03-19T00:00"),
        ("0 0 13 * 5", "2026-03-20T00:00"),  # day of month or day of week …
        ("0 0 */2 * 5", "2026-03-27T00:00"),  # … but both where one begins with a star (Vixie)
        ("0 12 * * 3-3", "2026-03-25T12:00"),  # croniter takes 3-3 for the whole week
        ("4-4/2 * * * *", "2026-03-18T16:04"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 L * *", "2026-03-31T00:00"),
        ("0 0 * * mon#1", "2026-04-06T00:00"),
    ],
)
def test_the_table_of_expressions(expr, expected):
    assert next_fire(cron(expr), utc("2026-03-18T15:04:05.6")) == utc(expected)


def test_a_schedule_that_never_fires_has_no_next_slot():
    assert next_fire(cron("0 0 31 2 *"), utc("2026-01-01T00:00")) is None
    assert next_fire(cron("0 0 31 2 *", BERLIN), utc("2026-01-01T00:00")) is None


def every(seconds) -> Schedule:
    return Schedule(kind=ScheduleKind.EVERY, expr=str(round(seconds * 1000)), timezone="UTC", every_s=seconds)


def test_periods_are_counted_from_the_epoch_so_that_a_restart_shifts_nothing():
    quarter = every(900)
    assert next_fire(quarter, utc("2026-03-18T15:04:05")) == utc("2026-03-18T15:15")
    assert next_fire(quarter, utc("2026-03-18T15:15")) == utc("2026-03-18T15:30")
    assert next_fire(quarter, utc("2026-03-18T15:14:59.999999")) == utc("2026-03-18T15:15")


def test_a_period_may_come_from_its_text_alone_and_hold_fractions_of_a_second():
    text = Schedule(kind=ScheduleKind.EVERY, expr="1500", timezone="UTC")
    assert next_fire(text, utc("2026-01-01T00:00")) == utc("2026-01-01T00:00:01.5")
    assert next_fire(every(0.1), utc("2026-01-01T00:00")) == utc("2026-01-01T00:00:00.1")


def test_at_fires_once():
    once = Schedule(kind=ScheduleKind.AT, expr="2026-12-24T17:00:00+00:00", timezone=BERLIN)
    assert next_fire(once, utc("2026-01-01T00:00")) == utc("2026-12-24T17:00")
    assert next_fire(once, utc("2026-12-24T17:00")) is None


def test_startup_has_no_slots():
    assert (
        next_fire(Schedule(kind=ScheduleKind.STARTUP, expr="@startup", timezone="UTC"), utc("2026-01-01T00:00")) is None
    )


@given(st.integers(1, 10**9), instant)
def test_slots_of_a_period_are_its_multiples(milliseconds, start):
    slot = next_fire(Schedule(kind=ScheduleKind.EVERY, expr=str(milliseconds), timezone="UTC"), start)
    since = (slot - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert since % milliseconds == 0
    assert start < slot <= start + timedelta(milliseconds=milliseconds)


def test_what_runs_next_is_for_enabled_jobs_with_a_schedule():
    now = utc("2026-03-18T15:04")
    job = Job(id="a", name="A", command=Command(argv=("true",)), schedule=cron("0 3 * * *"))
    assert next_run_at(job, now) == utc("2026-03-19T03:00")
    assert next_run_at(Job(id="a", name="A", command=job.command, schedule=job.schedule, enabled=False), now) is None
    assert next_run_at(Job(id="a", name="A", command=job.command), now) is None


@pytest.mark.parametrize(
    "schedule",
    [
        every(1),
        cron("* * * * * *"),
        cron("* * * * * 1"),
        cron("*/7 * * * *", BERLIN),
        cron("0,1,2 0 0 1 * *"),
        every(0.5),
    ],
    ids=lambda schedule: schedule.expr,
)
def test_the_newest_slots_of_a_long_sleep_are_found_without_counting_all(schedule):
    until = utc("2026-03-18T15:04:05")
    after = until - timedelta(days=400)
    started = timeit.default_timer()
    newest = slots_between(schedule, after, until, 50)
    assert timeit.default_timer() - started < 1
    assert len(newest) == 50 if schedule.expr != "0,1,2 0 0 1 * *" else len(newest) == 39
    assert newest[-1] <= until < next_fire(schedule, newest[-1])
    for one, following in pairwise(newest):
        assert next_fire(schedule, one) == following


def test_a_span_without_slots_has_none():
    assert slots_between(cron("0 3 * * *"), utc("2026-03-18T04:00"), utc("2026-03-19T02:59"), 10) == []
    assert slots_between(cron("0 3 * * *"), utc("2026-03-18T04:00"), utc("2026-03-18T03:00"), 10) == []


def test_the_next_slot_is_found_in_well_under_a_millisecond():
    after = utc("2026-03-18T15:04:05")
    for expr in ("0 3 * * *", "*/5 * * * *", "30 2 1 * 1", "0 * * * * *"):
        schedule = cron(expr, BERLIN)
        runs = sorted(timeit.repeat(lambda each=schedule: next_fire(each, after), number=1, repeat=200))
        assert runs[100] < 0.001
