"""docs/benchmarks.md says what bench/results.json says."""

from __future__ import annotations

import json

from bench import docs
from bench.__main__ import MEASURES
from bench.figures import Effort, goal, rotate

WHEN = {"at": "2026-03-18T12:00:00+00:00", "cpus": 2, "platform": "Linux", "python": "3.11.7"}


def test_the_page_is_made_from_the_results_and_has_a_place_for_each_measure() -> None:
    text = docs.PAGE.read_text()
    assert docs.page(text, json.loads(docs.RESULTS.read_text())) == text, "run: python -m bench --docs"
    assert {place[1] for place in docs.PLACE.findall(text)} == set(MEASURES)


def test_goals_come_first_then_contenders_with_their_spread_then_what_lies_deeper() -> None:
    measured = {
        "goals": [goal("ours (ms)", 12.34, at_most=10), goal("times better", 150, at_least=100)],
        "requests": 1000,
        "ours": {"p50_ms": 12.34, "p50_ms_min": 9.0, "p50_ms_max": 20.5, "cpu_ms": 1.0},
        "floor": {"p50_ms": 3.0},
        "scale": {"jobs": 7, "ours": {"100": {"load_s": 0.5}}},
        "measured": WHEN,
    }
    assert docs.section("pickup", measured).splitlines() == [
        "`python -m bench pickup` · 2026-03-18 · 2 cores · Linux · Python 3.11.7",
        "",
        "| | goal | measured | |",
        "|---|---|---|---|",
        "| ours (ms) | ≤ 10 | 12.3 | **not met** |",
        "| times better | ≥ 100 | 150 | met |",
        "",
        "|  | requests |",
        "|---|---|",
        "|  | 1,000 |",
        "",
        "|  | p50 (ms) | cpu (ms) |",
        "|---|---|---|",
        "| ours | 12.3 (9 – 20.5) | 1 |",
        "| floor | 3 |  |",
        "",
        "scale:",
        "",
        "|  | jobs | load (s) |",
        "|---|---|---|",
        "|  | 7 |  |",
        "| ours · 100 |  | 0.5 |",
    ]


async def test_contenders_take_turns_and_the_median_counts() -> None:
    order: list[str] = []

    def contender(name, values):
        async def turn() -> dict[str, float]:
            order.append(name)
            return {"per_s": next(values)}

        return turn

    contenders = {"a": contender("a", iter([1.0, 9.0, 2.0])), "b": contender("b", iter([5.0, 5.0, 6.0]))}
    measured = await rotate(contenders, Effort())
    assert order == ["a", "b"] * 3
    assert measured["a"] == {"per_s": 2.0, "per_s_min": 1.0, "per_s_max": 9.0}
