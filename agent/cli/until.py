"""An instant as a person says it: `2h`, `18:00`, `tomorrow 8:00`, `2026-12-24T18:00`; wall time of the machine."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

from agent.config.units import NotThisUnit, parse_duration

_CLOCK = re.compile(r"(tomorrow\s+)?([01]?\d|2[0-3]):([0-5]\d)", re.IGNORECASE)
_EXAMPLES = "try 2h, 18:00, 'tomorrow 8:00' or 2026-12-24T18:00"


def parse_until(text: str, now: datetime) -> datetime:
    """The instant in UTC, which lies ahead of `now`. Raises `typer.BadParameter`.

    `18:00` is the next one; an ISO date and time without an offset is wall time of this machine.
    """
    said = text.strip()
    found = _duration(said, now) or _clock(said, now) or _iso(said)
    if found is None:
        raise typer.BadParameter(f'"{text}" is no time; {_EXAMPLES}')
    if found <= now:
        raise typer.BadParameter(f'"{text}" lies in the past; {_EXAMPLES}')
    return found.astimezone(UTC)


def _duration(text: str, now: datetime) -> datetime | None:
    try:
        return now + timedelta(seconds=parse_duration(text))
    except (NotThisUnit, OverflowError):
        return None


def _clock(text: str, now: datetime) -> datetime | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    wall = now.astimezone().replace(tzinfo=None, second=0, microsecond=0)
    wall = wall.replace(hour=int(match[2]), minute=int(match[3]))
    if match[1] or wall.astimezone() <= now:
        wall += timedelta(days=1)  # in wall time: the same hour also where the clocks change at night
    return wall.astimezone()


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None
