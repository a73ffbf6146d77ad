"""The chaos suite in its bounded form: one small round of every scenario, always the same seed.

Most of a round is waiting, so three are played beside each other, each with its own project, proxy and agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos.houses import Houses
from tests.chaos.rounds import Order, play
from tests.chaos.scenario import Scenario, all_scenarios

SEED = 4
TESTS = 7
WORKERS = 2
"""Groups that xdist may play beside each other."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def houses() -> Iterator[Houses]:
    mine = Houses()
    yield mine
    mine.close()


def _cases() -> list[object]:
    bounded = [each for each in all_scenarios() if each.bounded]
    beside = [bounded[number::TESTS] for number in range(TESTS)]
    return [
        pytest.param(few, id="+".join(each.name for each in few), marks=pytest.mark.xdist_group(f"chaos-{n % WORKERS}"))
        for n, few in enumerate(beside)
    ]


@pytest.mark.parametrize("few", _cases())
async def test_nothing_is_lost_doubled_or_stuck(few: Sequence[Scenario], houses: Houses, tmp_path: Path) -> None:
    orders = [Order(scenario=each.name, seed=SEED, number=0, long=False, folder=tmp_path) for each in few]
    results = await asyncio.gather(*(play(order, each, houses) for order, each in zip(orders, few, strict=True)))
    broken = [f"{each.order.command}\n    {one.kind}: {one.what}" for each in results for one in each.broken]
    assert not broken, "\n".join(broken)
