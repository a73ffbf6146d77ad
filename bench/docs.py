"""docs/benchmarks.md: the tables between markers are made from bench/results.json, the prose around them by hand.

A measure's place is `<!-- bench:NAME -->` … `<!-- /bench:NAME -->`. What it shows follows from the figures' shape:
goals first, then single figures, then one row for each contender, then what lies deeper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "bench" / "results.json"
PLACE = re.compile(r"(<!-- bench:(\w+) -->\n).*?(<!-- /bench:\2 -->)", re.DOTALL)
UNITS = {"_ms": " (ms)", "_s": " (s)", "_mib": " (MiB)", "_pct": " (%)"}
ASIDE = ("goals", "measured")

Row = tuple[str, Mapping[str, float]]


def write() -> None:
    """Fill the page's tables anew."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def page(text: str, results: Mapping[str, Any]) -> str:
    """`text` with the tables that `results` make."""

    def fill(place: re.Match[str]) -> str:
        return f"{place[1]}\n{section(place[2], results.get(place[2]))}\n{place[3]}"

    return PLACE.sub(fill, text)


def section(name: str, measured: Mapping[str, Any] | None) -> str:
    """Everything that is shown of one measure."""
    command = f"`python -m bench {name}`"
    if measured is None:
        return f"{command}: not measured yet.\n"
    when = measured["measured"]
    lines = [f"{command} · {when['at'][:10]} · {when['cpus']} cores · {when['platform']} · Python {when['python']}", ""]
    lines += _goals(measured.get("goals", ()))
    shown = {key: value for key, value in measured.items() if key not in ASIDE}
    single = {key: value for key, value in shown.items() if not isinstance(value, Mapping)}
    lines += _table([("", single)]) if single else []
    lines += _table([(key, value) for key, value in shown.items() if _flat(value)])
    for key, value in shown.items():
        if isinstance(value, Mapping) and not _flat(value):
            lines += [f"{_heading(key)}:", "", *_table(list(_rows(value)))]
    return "\n".join(lines)


def _goals(goals: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        f"| {each['what']} | {each['goal']} | {_number(each['measured'])} | {'met' if each['met'] else '**not met**'} |"
        for each in goals
    ]
    return ["| | goal | measured | |", "|---|---|---|---|", *rows, ""] if rows else []


def _table(rows: Sequence[Row]) -> list[str]:
    """One line for each row; its columns are what any of them has. The spread of a figure stands in its cell."""
    if not rows:
        return []
    every = dict.fromkeys(key for _, figures in rows for key in figures)
    columns = [key for key in every if not (key.endswith(("_min", "_max")) and key[:-4] in every)]
    head = [
        "| " + " | ".join(["", *(_heading(column) for column in columns)]) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    body = [f"| {' | '.join([name, *(_cell(figures, column) for column in columns)])} |" for name, figures in rows]
    return [*head, *body, ""]


def _rows(value: Mapping[str, Any], *path: str) -> Iterator[Row]:
    """Figures that stand together are a row, whatever lies below them has rows of its own."""
    if figures := {key: each for key, each in value.items() if not isinstance(each, Mapping)}:
        yield " · ".join(path), figures
    for key, each in value.items():
        if isinstance(each, Mapping):
            yield from _rows(each, *path, key)


def _flat(value: object) -> bool:
    return isinstance(value, Mapping) and not any(isinstance(each, Mapping) for each in value.values())


def _cell(figures: Mapping[str, float], column: str) -> str:
    if column not in figures:
        return ""
    low, high = figures.get(f"{column}_min"), figures.get(f"{column}_max")
    spread = f" ({_number(low)} – {_number(high)})" if low is not None and high is not None else ""
    return _number(figures[column]) + spread


def _number(value: float) -> str:
    """Three digits are what a measurement is good for."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _heading(key: str) -> str:
    for ending, unit in UNITS.items():
        if key.endswith(ending) and not key.endswith("per_s"):
            return key.removesuffix(ending).replace("_", " ") + unit
    return key.replace("_", " ")
