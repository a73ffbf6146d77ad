"""The nearest of several names, for the hints of PGRST200, PGRST202 and PGRST205: likeness by edit distance."""

from __future__ import annotations

from collections.abc import Iterable

LIKE = 0.75
"""PostgREST's least likeness for names of tables and functions."""
LONGEST = 64


def nearest(name: str, known: Iterable[str], least: float = LIKE) -> str | None:
    """The most alike of `known`, if it is alike at all."""
    wanted = name.lower()
    if len(wanted) > LONGEST * 4:
        return None
    alike = (each for each in sorted(known) if _may_be(len(wanted), len(each), least))
    likeness, best = max(((_likeness(wanted, each.lower()), each) for each in alike), default=(0.0, ""))
    return best if best and likeness >= least else None


def _may_be(one: int, other: int, least: float) -> bool:
    """Whether names of these lengths can be that much alike: keeps a flood of unknown names cheap."""
    return min(one, other) >= least * max(one, other)


def _likeness(one: str, other: str) -> float:
    longest = max(len(one), len(other))
    return 1 - _distance(one, other) / longest if longest else 1.0


def _distance(one: str, other: str) -> int:
    """Levenshtein's."""
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        now = [row]
        for column, right in enumerate(other, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (left != right)))
        before = now
    return before[-1]
