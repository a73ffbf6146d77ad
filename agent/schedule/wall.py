"""Local wall time: whether a wall-clock reading names one instant, two or none.

Pure. Readings are naive datetimes, instants are aware and UTC. `zoneinfo` does not tell its transitions, so they are
found by bisection between two instants of different offset, to the second, as the tz database has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """An ordinary reading."""

    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Twice:
    """A reading in a fold: clocks were put back over it."""

    first: datetime
    second: datetime
    begins: datetime
    """The first reading of the fold; it has `ends - begins` length."""
    ends: datetime
    """The first reading after the fold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Never:
    """A reading in a gap: clocks were put forward over it."""

    change: datetime
    """The first instant after the gap."""
    resumes: datetime
    """The first reading after the gap."""


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The IANA zone. Raises `zoneinfo.ZoneInfoNotFoundError` (the configuration was checked before)."""
    return ZoneInfo(name)


def reading(instant: datetime, tz: ZoneInfo) -> datetime:
    """What a clock on the wall shows at `instant`; `fold` is 1 in the second pass of a fold (PEP 495)."""
    return instant.astimezone(tz).replace(tzinfo=None)


def place(wall: datetime, tz: ZoneInfo) -> Once | Twice | Never:
    """Put a reading into time. PEP 495: in a gap `fold=0` names the later instant, in a fold the earlier one."""
    zero = wall.replace(tzinfo=tz, fold=0).astimezone(UTC)
    one = wall.replace(tzinfo=tz, fold=1).astimezone(UTC)
    if zero == one:
        return Once(at=zero)
    change = _change(min(zero, one), max(zero, one), tz)
    new = reading(change, tz).replace(fold=0)
    if zero > one:
        return Never(change=change, resumes=new)
    return Twice(first=zero, second=one, begins=new, ends=new + (one - zero))


def _change(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    """The first instant in (before, after] that has the offset of `after`."""
    low, high, offset = before, after, after.astimezone(tz).utcoffset()
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if middle.astimezone(tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)
