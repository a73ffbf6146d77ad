"""The verdict of a run of the suite, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.rounds import Result
from tests.support.ledger import Kind

HEADINGS = ("scenario", "rounds", "requests", "kills", "lost", "doubled", "stuck", "p95 recovery")


def table(names: Sequence[str], results: Sequence[Result]) -> list[str]:
    """One line for each scenario, and one for all of them."""
    rows = [_row(name, [result for result in results if result.order.scenario == name]) for name in names]
    rows.append(_row("all", results))
    widths = [max(len(row[place]) for row in [HEADINGS, *rows]) for place in range(len(HEADINGS))]
    rule = tuple("-" * (width - 1) + ":" if place else "-" * width for place, width in enumerate(widths))
    return [_written(row, widths) for row in [HEADINGS, rule, *rows]]


def summary(results: Sequence[Result]) -> str:
    """The last line: all of it in one."""
    return " ".join(f"{kind} {sum(result.count(kind) for result in results)}" for kind in Kind)


def _row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    broken = [str(sum(result.count(kind) for result in results)) for kind in Kind]
    requests, kills = sum(result.requests for result in results), sum(result.kills for result in results)
    recovery = _p95([each for result in results for each in result.recoveries])
    return (name, str(len(results)), str(requests), str(kills), *broken, recovery)


def _p95(seconds: Sequence[float]) -> str:
    if not seconds:
        return "–"
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:.1f} s"


def _written(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(cells)} |"
