"""How things are shown: times in the person's zone with "in 5 min", tables, JSON for scripts."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

_UNITS = ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))

_SECOND_MS, _MINUTE_MS, _HOUR_MS = 1000, 60_000, 3_600_000

STATUS_STYLE = {
    "queued": "yellow",
    "running": "blue",
    "done": "green",
    "ok": "green",
    "error": "red",
    "timeout": "red",
    "lost": "red",
    "cancelled": "magenta",
    "missed": "yellow",
    "skipped": "yellow",
}


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, default=_jsonable, ensure_ascii=False) + "\n")


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """`in 5 min`, `20 s ago`, `now`, or `–` for None."""
    if when is None:
        return "–"
    seconds = round((when - (now or datetime.now(UTC))).total_seconds())
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            amount = f"{abs(seconds) // size} {unit}"
            return f"in {amount}" if seconds > 0 else f"{amount} ago"
    return "now"


def local(when: datetime | None) -> str:
    """Wall time in the person's own zone, to the second, or `–`."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when else "–"


def local_short(when: datetime | None) -> str:
    """The same for a narrow column: the time if it is today, else the day and the time to the minute."""
    if when is None:
        return "–"
    here = when.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return here.strftime("%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M")


def duration(milliseconds: int | None) -> str:
    """`340 ms`, `1.2 s`, `3 min 20 s`, or `–`."""
    if milliseconds is None:
        return "–"
    if milliseconds < _SECOND_MS:
        return f"{milliseconds} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / _SECOND_MS:.1f} s"
    hours, rest = divmod(milliseconds, _HOUR_MS)
    minutes, rest = divmod(rest, _MINUTE_MS)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest // _SECOND_MS} s"


def plain(text: str | None) -> str:
    """Text of a job or a database row, safe for a terminal: control characters (ANSI escapes) become U+FFFD."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text or "")
