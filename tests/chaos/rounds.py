"""One round of one scenario, from an empty project to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.houses import Houses, settle_in
from tests.chaos.scenario import Scenario
from tests.chaos.world import World
from tests.support.fault_proxy import FaultProxy
from tests.support.ledger import Broken, Kind, Ledger
from tests.support.stack import StackThread


@dataclass(frozen=True, kw_only=True)
class Order:
    """A round to be played; the same order again is the same round, as far as a machine allows."""

    scenario: str
    seed: int
    number: int
    long: bool
    folder: Path

    @property
    def place(self) -> Path:
        """Where everything of the round is; kept when it fails."""
        return self.folder / f"{self.scenario}-{self.number}"

    @property
    def command(self) -> str:
        """What plays it again."""
        bounded = "" if self.long else " --bounded"
        return f".venv/bin/python -m tests.chaos --only {self.scenario} --rounds 1 --seed {self.seed}{bounded}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a round."""

    order: Order
    requests: int
    kills: int
    recoveries: tuple[float, ...]
    broken: tuple[Broken, ...]
    seconds: float

    def count(self, kind: Kind) -> int:
        """Broken promises of this kind."""
        return sum(each.kind is kind for each in self.broken)


async def play(order: Order, scenario: Scenario, houses: Houses) -> Result:
    """Tell the story, wait until everything has settled, stop the agents, count. Whatever is raised is a finding."""
    shutil.rmtree(order.place, ignore_errors=True)
    order.place.mkdir(parents=True)
    began, broken = time.monotonic(), []
    kept: dict[str, Any] = {"requests": 0, "kills": 0, "recoveries": ()}
    try:
        async with _world(order, scenario, houses) as world:
            try:
                await scenario.story(world)
                await world.settled()
            except Exception:  # noqa: BLE001 - whatever a round does not survive is what the suite is looking for
                broken.append(Broken(kind=Kind.STUCK, what=traceback.format_exc()))
            await world.goodbye()
            broken += world.broken()
            kept = {
                "requests": len(world.ledger.asked),
                "kills": world.kills,
                "recoveries": tuple(round(each, 2) for each in world.recoveries),
            }
    except Exception:  # noqa: BLE001 - same
        broken.append(Broken(kind=Kind.STUCK, what=traceback.format_exc()))
    result = Result(order=order, broken=tuple(broken), seconds=time.monotonic() - began, **kept)
    if broken:
        order.place.mkdir(parents=True, exist_ok=True)
        (order.place / "broken.txt").write_text("\n".join(f"{each.kind}: {each.what}" for each in broken) + "\n")
    else:
        shutil.rmtree(order.place, ignore_errors=True)
    return result


@contextlib.asynccontextmanager
async def _world(order: Order, scenario: Scenario, houses: Houses) -> AsyncIterator[World]:
    rooms = contextlib.ExitStack()
    try:
        stack = await asyncio.to_thread(_house, order, scenario, houses, rooms)
        project = settle_in(stack)
        ledger = Ledger(project, order.place)
        ledger.may_be_lost = False
        async with FaultProxy(project.url) as proxy:
            world = World(
                stack=stack,
                project=project,
                proxy=proxy,
                ledger=ledger,
                folder=order.place,
                rng=random.Random(order.seed),  # noqa: S311 - a seed that can be repeated, no secret
                long=order.long,
                rooms=rooms,
            )
            try:
                yield world
            finally:
                for agent in world.agents:
                    agent.stop()
    finally:
        await asyncio.to_thread(rooms.close)


def _house(order: Order, scenario: Scenario, houses: Houses, rooms: contextlib.ExitStack) -> StackThread:
    """In a thread: other rounds may be played in this loop meanwhile."""
    return rooms.enter_context(houses.brittle(order.place / "stack")) if scenario.brittle else houses.shared()
