"""`python -m tests.chaos`: play rounds of every scenario, print one table, end with 1 when a promise was broken.

`make chaos ROUNDS=n SEED=s ONLY="name name"`. What the words of the table mean: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.rounds import Order, Result
from tests.chaos.scenario import all_scenarios
from tests.chaos.table import summary, table
from tests.chaos.workers import played
from tests.support.ledger import Broken, Kind


def main() -> int:
    """Exit code: 0 when nothing was lost, doubled or stuck."""
    given = _arguments()
    known = {each.name: each for each in all_scenarios()}
    if given.list:
        _say(*(f"{each.name:20} {each.about}" for each in known.values()))
        return 0
    if unknown := set(given.only) - known.keys():
        _say(f"no such scenario: {', '.join(sorted(unknown))}; --list names them all")
        return 2
    everything = [each for each in known.values() if each.bounded or not given.bounded]
    chosen = [known[name] for name in given.only] or everything
    folder = Path(tempfile.mkdtemp(prefix="cronmirror-chaos-"))
    orders = [
        Order(scenario=each.name, seed=given.seed + number, number=number, long=not given.bounded, folder=folder)
        for number in range(given.rounds)
        for each in chosen
    ]
    _say(f"{len(orders)} rounds, seeds from {given.seed}, {given.jobs} at a time; what fails is kept in {folder}")
    results = []
    try:
        for result in played(orders, given.jobs):
            results.append(result)
            _say(_line(result, len(results), len(orders)))
        results += [_unplayed(order) for order in orders if order not in {each.order for each in results}]
    except (KeyboardInterrupt, SystemExit):
        _say("interrupted: this is what was played")
    _say("", *table([each.name for each in chosen], results), "", summary(results))
    return 1 if any(result.broken for result in results) or len(results) < len(orders) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="rounds of each scenario")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the first round; the next has S+1")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these scenarios alone")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="rounds beside each other")
    parser.add_argument("--bounded", action="store_true", help="the short form, as in the tests")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    return parser.parse_args()


def _unplayed(order: Order) -> Result:
    """Of a round whose worker died: nothing was counted, which is not the same as nothing was found."""
    what = f"{order.scenario}, seed {order.seed}, was not played to its end: its worker died"
    return Result(
        order=order, requests=0, kills=0, recoveries=(), broken=(Broken(kind=Kind.STUCK, what=what),), seconds=0
    )


def _line(result: Result, number: int, of: int) -> str:
    order = result.order
    counted = f"{result.requests} requests, {result.kills} kills, {result.seconds:.0f} s"
    said = f"[{number}/{of}] {order.scenario} seed {order.seed}: {counted}"
    if not result.broken:
        return f"{said}: whole"
    broken = "\n".join(f"    {each.kind}: {each.what}" for each in result.broken[:20])
    return (
        f"{said}: BROKEN, {len(result.broken)} promises\n{broken}\n    kept: {order.place}\n    again: {order.command}"
    )


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
