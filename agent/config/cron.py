"""Is this a cron expression that ever fires? A check of what is written; when it fires is schedule/timetable.py's.

Five fields, six with seconds first, or an alias. DESIGN §4.8: Vixie's day rule (`implement_cron_bug`), naive times,
no `R` and `H`.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from itertools import pairwise

from croniter import CroniterBadDateError, CroniterError, croniter

ALIASES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
STARTUP = "@startup"
FIELDS = ("minute", "hour", "day of month", "month", "day of week")

_LONGEST = 500
_YEARS = 5
_LOOKED_AT = 500
"""Slots of a schedule whose shortest gap is wanted: what differs within a day or a week is among them."""
_FROM = datetime(2023, 3, 1)  # noqa: DTZ001  # naive on purpose: croniter misreads aware ones (DESIGN §4.8)
"""Any date does; from this one the leap day of 2024 is near."""
_RANDOM = re.compile(r"(?<![A-Za-z])[RrHh](?![A-Za-z])")
_PERIOD = re.compile(r"(?:@?every\s+)?([0-9]+\s?(?:ms|[smhdw]))")


def cron_fault(expr: str) -> str | None:
    """None when `expr` is a schedule that fires, else what is wrong with it and what to do (without the expression)."""
    text = expr.strip()
    if text.lower() in ALIASES or text == STARTUP:
        return None
    fields = text.split()
    if text.startswith("@") or len(fields) not in (5, 6):
        return _not_fields(text, len(fields))
    if len(text) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if _RANDOM.search(text):
        return "`R` and `H` (random fields) are not supported; write the number itself"
    return _never(text)


def shortest_gap_s(expr: str) -> float:
    """The shortest time between two slots, in seconds, among many in a row; infinite where there is one, or none.

    For what `cron_fault` lets pass. croniter knows the aliases too.
    """
    if expr.strip() == STARTUP:
        return math.inf
    slots = croniter(expr.strip().lower(), _FROM, second_at_beginning=True, implement_cron_bug=True)
    try:
        instants = [slots.get_next(datetime) for _ in range(_LOOKED_AT)]
    except CroniterBadDateError:
        return math.inf
    return min((after - before).total_seconds() for before, after in pairwise(instants))


def _not_fields(text: str, count: int) -> str:
    if text.lower() == "@reboot":
        return f'is not known here; write "{STARTUP}" for once at the start of the agent'
    period = _PERIOD.fullmatch(text.lower())
    if period:
        return f"is not a cron expression; write `every: {period[1].replace(' ', '')}` instead of `schedule:`"
    if text.startswith("@"):
        return f"is not an alias; there are {', '.join((*ALIASES, STARTUP))}"
    return f"has {count} fields; write 5 ({', '.join(FIELDS)}) or 6 (seconds first)"


def _never(text: str) -> str | None:
    try:
        croniter(
            text, _FROM, second_at_beginning=True, implement_cron_bug=True, max_years_between_matches=_YEARS
        ).get_next(datetime)
    except CroniterBadDateError:
        return f"never fires within {_YEARS} years; is there such a day?"
    except (CroniterError, ValueError, KeyError):
        return f"is not a cron expression{_which_field(text)}"
    return None


def _which_field(text: str) -> str:
    """Croniter says `[60 * * * *] is not acceptable, out of range`; say which of the fields it is."""
    fields = text.split()
    names = FIELDS if len(fields) == len(FIELDS) else ("second", *FIELDS)
    wrong = (
        f": `{value}` is no {name}" for name, value in zip(names, fields, strict=True) if not _valid_alone(name, value)
    )
    return next(wrong, "")


def _valid_alone(name: str, value: str) -> bool:
    alone = [value if each == name else "*" for each in ("second", *FIELDS)]
    return croniter.is_valid(" ".join(alone), second_at_beginning=True)
