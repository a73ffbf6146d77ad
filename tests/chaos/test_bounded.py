"""The chaos suite in its bounded form: one small round of every scenario, always the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.houses import Houses
from tests.chaos.rounds import Order, play
from tests.chaos.scenario import Scenario, all_scenarios

SEED = 4
BESIDE = 2
"""Groups that xdist may play beside each other."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def houses() -> Iterator[Houses]:
    mine = Houses()
    yield mine
    mine.close()


def _cases() -> list[object]:
    return [
        pytest.param(each, id=each.name, marks=pytest.mark.xdist_group(f"chaos-{number % BESIDE}"))
        for number, each in enumerate(all_scenarios())
    ]


@pytest.mark.parametrize("scenario", _cases())
async def test_nothing_is_lost_doubled_or_stuck(scenario: Scenario, houses: Houses, tmp_path: Path) -> None:
    order = Order(scenario=scenario.name, seed=SEED, number=0, long=False, folder=tmp_path)
    result = await play(order, scenario, houses)
    assert [f"{each.kind}: {each.what}" for each in result.broken] == [], order.command
    assert result.requests > 0 or scenario.name == "dst-nights"
