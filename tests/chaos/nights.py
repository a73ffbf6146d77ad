"""The nights on which clocks change, and which slots jobs have in them: an oracle that knows zoneinfo and nothing else.

It walks minute by minute and reads the clock on the wall, so it shares neither croniter nor a line with the product.
Rule (docs of `dst`): a schedule whose minute and hour are fixed fires once per reading, the first time; a reading that
is skipped is made up at the first instant after the gap. All others follow real time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago")
"""One hour at 02:00 or 03:00, at 02:00, half an hour at 02:00, one hour at midnight."""
YEAR = 2027
MINUTE = timedelta(minutes=1)
BEFORE, AFTER = timedelta(minutes=100), timedelta(minutes=150)

Times = frozenset[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Night:
    """A change of clocks in a zone, `start` to `end` around it, aware and UTC."""

    zone: str
    change: datetime

    @property
    def name(self) -> str:
        """Of the agent that lives through it."""
        return f"{self.zone.rsplit('/', 1)[-1].lower().replace('_', '-')}-{self.change:%m%d}"

    @property
    def start(self) -> datetime:
        """Seconds past the minute, so that nothing is due at once."""
        return self.change - BEFORE + timedelta(seconds=30)

    @property
    def end(self) -> datetime:
        """The last instant that is compared."""
        return self.change + AFTER

    def yaml(self, mark: Path) -> str:
        """Jobs of every kind that a change of clocks could confuse."""
        head = (
            f"defaults: {{timezone: {self.zone}, catch_up: all, overlap: allow}}\nlimits: {{concurrency: 8}}\njobs:\n"
        )
        lines = [f'  {job}: {{schedule: "{expr}", run: [{mark}]}}\n' for job, expr in self._expressions().items()]
        return head + "".join(lines)

    def _expressions(self) -> dict[str, str]:
        fixed = sorted(_fixed_times(self))
        hours = ",".join(str(hour) for hour in sorted({hour for hour, _ in fixed}))
        return {f"{self.name}-quarter": "*/15 * * * *", f"{self.name}-hourly": "0 * * * *"} | {
            f"{self.name}-fixed-{minute}": f"{minute} {hours} * * *"
            for minute in sorted({minute for _, minute in fixed})
        }


def nights() -> Sequence[Night]:
    """Both changes of each zone."""
    return [Night(zone=zone, change=change) for zone in ZONES for change in _changes(ZoneInfo(zone))]


def expected_slots(night: Night) -> dict[str, set[datetime]]:
    """Slots by job in (start, end], UTC."""
    minutes = _minutes(night)
    slots = {
        f"{night.name}-quarter": {at for at, wall in minutes if wall.minute % 15 == 0},
        f"{night.name}-hourly": {at for at, wall in minutes if wall.minute == 0},
    }
    hours = {hour for hour, _ in _fixed_times(night)}
    for minute in {minute for _, minute in _fixed_times(night)}:
        slots[f"{night.name}-fixed-{minute}"] = _fixed(night, {(hour, minute) for hour in hours})
    return slots


def _fixed_times(night: Night) -> set[tuple[int, int]]:
    """Hours and minutes around the change, those that are skipped or come twice among them."""
    hours = {((night.change + timedelta(hours=n)).astimezone(ZoneInfo(night.zone)).hour) for n in (-1, 0, 1)}
    before = (night.change - MINUTE).astimezone(ZoneInfo(night.zone))
    hours.add((before + timedelta(hours=1)).hour)  # wall arithmetic: the hour that is skipped in spring
    return {(hour, minute) for hour in hours for minute in (10, 40)}


def _fixed(night: Night, times: set[tuple[int, int]]) -> set[datetime]:
    """Each reading once; what a gap skips at the first instant after it."""
    seen: set[datetime] = set()
    slots: set[datetime] = set()
    last: datetime | None = None
    for at, wall in _minutes(night, early=timedelta(hours=3)):
        skipped: list[datetime] = []
        if last is not None and wall > last + MINUTE:
            skipped = [last + MINUTE * n for n in range(1, round((wall - last) / MINUTE))]
        first = [] if wall in seen else [wall]
        if any((each.hour, each.minute) in times for each in [*first, *skipped]):
            slots.add(at)
        seen.add(wall)
        last = wall
    return {at for at in slots if night.start < at <= night.end}


def _minutes(night: Night, early: timedelta = timedelta()) -> list[tuple[datetime, datetime]]:
    """Each whole minute after the start (or earlier) with what the clock on the wall shows."""
    zone, at = ZoneInfo(night.zone), (night.start - early).replace(second=0) + MINUTE
    found = []
    while at <= night.end:
        found.append((at, at.astimezone(zone).replace(tzinfo=None, fold=0)))
        at += MINUTE
    return found


def _changes(zone: ZoneInfo) -> list[datetime]:
    """Instants of the year at which the zone's offset becomes another one, to the minute."""
    at, found = datetime(YEAR, 1, 1, tzinfo=UTC), []
    while at.year == YEAR:
        after = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            minute = at
            while minute.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset():
                minute += MINUTE
            found.append(minute)
        at = after
    return found
