"""When a schedule fires: aware UTC instants in and out, no state, no clock.

The rules are DESIGN's: cron expressions are read on the wall (croniter on naive datetimes, Vixie's day rule, seconds
first in six fields) and then placed in time by the job's `dst`. A schedule is *fixed* when neither its minute nor its
hour field begins with `*`; every other one follows real time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError

from agent.model import Job, Schedule, ScheduleKind
from agent.schedule.wall import SECOND, Never, Once, Twice, place, reading, zone

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""crontab(5)'s names. `@reboot`/`@startup` is a kind of its own and has no slots."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE_OF_ONE = re.compile(r"(?<![\w-])(\w+)-\1(/\d+)?(?![\w-])")
_MILLISECOND = timedelta(milliseconds=1)


def next_fire(schedule: Schedule, after: datetime) -> datetime | None:
    """The first slot strictly after `after` (aware), in UTC; None when there is none (within 50 years).

    `every` fires at whole multiples of its period counted from 1970-01-01T00:00Z, so neither a restart nor an edit of
    something else shifts it. `at` fires once, `startup` never here.
    """
    after = after.astimezone(UTC)
    match schedule.kind:
        case ScheduleKind.CRON:
            return _next_cron(schedule, after)
        case ScheduleKind.EVERY:
            period = _period(schedule)
            return _EPOCH + ((after - _EPOCH) // period + 1) * period
        case ScheduleKind.AT:
            return _at(schedule) if _at(schedule) > after else None
        case ScheduleKind.STARTUP:
            return None


def next_run_at(job: Job, now: datetime) -> datetime | None:
    """When the job will run next by itself; None for task types, `startup`, disabled jobs and what is over."""
    if job.schedule is None or not job.enabled:
        return None
    return next_fire(job.schedule, now)


def slots_between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The newest `limit` slots in (after, until], oldest first.

    Cheap however long the span is: a dense schedule is searched from its end, by spans that are halved or doubled
    until one holds between `limit` and twice as many.
    """
    if schedule.kind is ScheduleKind.EVERY:
        after = max(after, until - limit * _period(schedule))
    enough = 2 * limit + 1
    slots = _first(schedule, after, until, enough)
    if len(slots) < enough:
        return slots[-limit:]
    too_short, too_long = timedelta(0), until - after
    span = (slots[-1] - after) * 3 / 4
    while not limit <= len(slots := _first(schedule, until - span, until, enough)) < enough:
        if len(slots) < limit:
            too_short = span
        else:
            too_long = span
        span = min(2 * span, (too_short + too_long) / 2)
    return slots[-limit:]


def _first(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    slots: list[datetime] = []
    slot = next_fire(schedule, after)
    while slot is not None and slot <= until and len(slots) < limit:
        slots.append(slot)
        slot = next_fire(schedule, slot)
    return slots


def _period(schedule: Schedule) -> timedelta:
    """Whole milliseconds, at least one."""
    if schedule.every_s is None:
        return max(int(schedule.expr), 1) * _MILLISECOND
    return max(round(schedule.every_s * 1000), 1) * _MILLISECOND


def _at(schedule: Schedule) -> datetime:
    at = schedule.at or datetime.fromisoformat(schedule.expr)
    return at.astimezone(UTC)


# ── cron ────────────────────────────────────────────────────────────────────


def _next_cron(schedule: Schedule, after: datetime) -> datetime | None:
    fields = _fields(schedule.expr)
    tz = zone(schedule.timezone)
    fixed = _is_fixed(fields)
    both = not fixed or schedule.dst_fold == "twice"
    run_after = fixed and schedule.dst_gap == "run_after"
    ahead = _ahead(fields, after, tz, both=both, run_after=run_after)
    again = _second_pass(fields, after, tz) if both else None
    return min((slot for slot in (ahead, again) if slot is not None), default=None)


def _ahead(fields: str, after: datetime, tz: ZoneInfo, *, both: bool, run_after: bool) -> datetime | None:
    """The slot of the first matching reading beyond that of `after`."""
    found = _next_reading(fields, reading(after, tz))
    while found is not None:
        match place(found, tz):
            case Once(at=at):
                return at
            case Twice(first=first) if first > after:
                return first
            case Twice(second=second) if both:
                return second
            case Twice(ends=resumes):
                pass
            case Never(change=change) if run_after:
                return change
            case Never(resumes=resumes):
                pass
        found = _next_reading(fields, resumes - SECOND)
    return None


def _second_pass(fields: str, after: datetime, tz: ZoneInfo) -> datetime | None:
    """While `after` is in the first pass of a fold: the first slot of the second pass, if it has one."""
    wall = reading(after, tz)
    here = place(wall, tz)
    if wall.fold or not isinstance(here, Twice):
        return None
    found = _next_reading(fields, here.begins - SECOND)
    again = place(found, tz) if found else None
    return again.second if isinstance(again, Twice) else None


def _next_reading(fields: str, wall: datetime) -> datetime | None:
    """The first matching reading strictly after `wall`, as if no clock were ever changed."""
    try:
        found: datetime = _parsed(fields).get_next(datetime, start_time=wall.replace(microsecond=0, fold=0))
    except CroniterBadDateError:
        return None
    return found


@lru_cache(maxsize=4096)
def _fields(expr: str) -> str:
    """The expression as croniter should read it: croniter takes `5-5` for the whole cycle, cron for 5."""
    expr = expr.strip().lower()
    return _RANGE_OF_ONE.sub(r"\1", ALIASES.get(expr, expr))


@lru_cache(maxsize=4096)
def _parsed(fields: str) -> croniter:
    return croniter(fields, datetime(2000, 1, 1), second_at_beginning=True, implement_cron_bug=True)  # noqa: DTZ001  # naive on purpose: a wall-clock reading


@lru_cache(maxsize=4096)
def _is_fixed(fields: str) -> bool:
    *_, minute, hour = fields.split()[:-3]
    return not minute.startswith("*") and not hour.startswith("*")
