"""From samples to figures: medians with their spread, percentiles, and contenders that take turns."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Figures = dict[str, float]
Contender = Callable[[], Awaitable[Figures]]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured. `count` is the measure's own (requests, jobs); None: its default."""

    quick: bool = False
    full: bool = False
    count: int | None = None

    @property
    def rotations(self) -> int:
        """How often each contender has its turn."""
        return 1 if self.quick else 3

    def choose(self, usual: int, quick: int) -> int:
        """A number of this measure, as wished."""
        return self.count or (quick if self.quick else usual)


async def rotate(
    contenders: Mapping[str, Contender], effort: Effort, *, at_once: bool = False, turns_more: int = 0
) -> dict[str, Figures]:
    """A B C A B C …: what slows the machine down for a while slows all of them. Medians, with their ranges.

    `at_once`: the contenders of a turn side by side, for those that mostly sleep; also when it only has to be quick,
    for then the figures mean nothing. `turns_more`: for short turns, whose median of three is still a matter of luck.
    """
    rotations = effort.rotations + (0 if effort.quick else turns_more)
    turns: dict[str, list[Figures]] = {name: [] for name in contenders}

    async def take_turn(turn: int, name: str) -> None:
        figures = await contenders[name]()
        turns[name].append(figures)
        said = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
        print(f"   {turn}/{rotations} {name}: {said}", flush=True)

    for turn in range(1, rotations + 1):
        if at_once or effort.quick:
            async with asyncio.TaskGroup() as tasks:
                for name in contenders:
                    tasks.create_task(take_turn(turn, name))
        else:
            for name in contenders:
                await take_turn(turn, name)
    return {name: spread(each) for name, each in turns.items()}


def spread(turns: Iterable[Figures]) -> Figures:
    """`{"x", "x_min", "x_max"}` for each figure x: the median of its turns, and the smallest and largest of them."""
    rows = list(turns)
    result: Figures = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        result[key] = round(statistics.median(values), 3)
        if len(values) > 1:
            result |= {f"{key}_min": round(min(values), 3), f"{key}_max": round(max(values), 3)}
    return result


def percentiles(values: list[float], *wanted: int) -> Figures:
    """`{"p50_ms": …}` of values in milliseconds."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{each}_ms": round(cuts[each - 1], 3) for each in wanted}


def goal(what: str, measured: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """`{"what", "goal", "measured", "met"}`; one of the two bounds is given."""
    bound = at_most if at_least is None else at_least
    assert bound is not None
    said = f"{'≤' if at_least is None else '≥'} {bound:.4g}"
    met = measured <= bound if at_least is None else measured >= bound
    return {"what": what, "goal": said, "measured": measured, "met": met}


def ratio(one: float, other: float) -> float:
    """`one / other`, to three digits; 0 where there is nothing to divide by."""
    return round(one / other, 3) if other else 0.0
