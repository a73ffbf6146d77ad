"""What a scenario is: a name, a story, a fault. Registered by `@scenario`, found by `all_scenarios`."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.chaos.world import World

ROOMS = ("killing", "database", "network", "answers", "realtime", "disk", "editing", "clocks", "fleet")
"""Modules of this package that register scenarios, in the order of the table."""

Story = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`story` brings about the fault and takes it away again; everything else is the world's."""

    name: str
    story: Story
    brittle: bool
    """Needs a stack of its own: Postgres, the gateway or the tokens are at stake."""
    bounded: bool
    """Has its place in the bounded form."""

    @property
    def about(self) -> str:
        """First line of the story's docstring."""
        return (self.story.__doc__ or "").strip().split("\n")[0]


_found: dict[str, Scenario] = {}


def scenario(name: str, *, brittle: bool = False, bounded: bool = True) -> Callable[[Story], Story]:
    """Register the function below as the story of a scenario."""

    def register(story: Story) -> Story:
        _found[name] = Scenario(name=name, story=story, brittle=brittle, bounded=bounded)
        return story

    return register


def all_scenarios() -> Sequence[Scenario]:
    """Every scenario there is."""
    for room in ROOMS:
        importlib.import_module(f"tests.chaos.{room}")
    return list(_found.values())
