"""The select tree with what each level is filtered, ordered and limited by."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal
from agent.localstack.rest.syntax import Column, Embed, Field, Filter, Logic, Order, Path, Query, Window

EVERYTHING = Column(field=Field(name="*"))


@dataclass(kw_only=True, slots=True)
class Level:
    """The table itself, or an embedded resource (`embed`)."""

    embed: Embed | None = None
    columns: tuple[Column, ...] = ()
    embeds: list[Level] = field(default_factory=list)
    where: list[Filter | Logic] = field(default_factory=list)
    order: tuple[Order, ...] = ()
    window: Window = field(default_factory=Window)

    @property
    def silent(self) -> bool:
        """Embedded with nothing selected: it filters, and is not shown."""
        return not self.columns and all(each.silent for each in self.embeds)

    def find(self, name: str) -> Level | None:
        """The embedded level of that name or alias."""
        return next((each for each in self.embeds if each.embed and name in {each.embed.name, each.embed.alias}), None)


def arrange(query: Query, *, writes: bool = False) -> Level:
    """The tree of a request. `writes`: filters of the root belong to the write, order and limits to nobody."""
    root = _level(None, query.select)
    for path, condition in query.conditions:
        level = _at(root, path)
        if path or not writes:
            level.where.append(condition)
    if not writes:
        for path, order in query.orders.items():
            _at(root, path).order = order
        for path, window in query.windows.items():
            _at(root, path).window = window
    return root


def conditions_of_root(query: Query) -> list[Filter | Logic]:
    """Those that choose the rows of an update or delete."""
    return [condition for path, condition in query.conditions if not path]


def _level(embed: Embed | None, select: tuple[Column | Embed, ...]) -> Level:
    columns = tuple(each for each in select if isinstance(each, Column))
    embeds = [_level(each, each.select) for each in select if isinstance(each, Embed)]
    return Level(embed=embed, columns=columns, embeds=embeds)


def _at(level: Level, path: Path) -> Level:
    for name in path:
        found = level.find(name)
        if found is None:
            raise not_embedded(name)
        level = found
    return level


def not_embedded(name: str) -> Refusal:
    """PGRST108."""
    return refusal(
        400,
        "PGRST108",
        f"'{name}' is not an embedded resource in this request",
        hint=f"Verify that '{name}' is included in the 'select' query parameter.",
    )
