"""Statements made once for every request of the same shape, and filled in with each one's values.

`?id=eq.1` and `?id=eq.2` are one shape: a value behind these operators only ever becomes a parameter. That is checked
for each shape: its statement is made with marks in place of the values, and each mark has to come back as a parameter.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.localstack.refusal import Refusal
from agent.localstack.rest.wire import Statement, Value

MOST_KEPT = 1000
MOST_CHARS = 4000
"""Of a shape that is kept: what strangers send must not fill the memory."""
_PLAIN = re.compile(r"(?:not\.)?(?:eq|neq|gt|gte|lt|lte)\.")
_OTHERS = {"select", "columns", "on_conflict", "apikey", "and", "or", "order", "limit", "offset"}
Pairs = Sequence[tuple[str, str]]
With = TypeVar("With")


@dataclass(frozen=True, slots=True)
class Shape:
    """A query string without its values, and the values."""

    pairs: Pairs
    places: tuple[int, ...]
    """Which pairs have a value of their own."""
    key: tuple[tuple[str, str], ...]
    values: tuple[str, ...]

    def with_values(self, values: Sequence[str]) -> Pairs:
        """The pairs with other values."""
        pairs = list(self.pairs)
        for place, value in zip(self.places, values, strict=True):
            name, operator = self.key[place]
            pairs[place] = (name, operator + value)
        return pairs


def shape_of(pairs: Pairs) -> Shape:
    """Its shape: values of comparisons with a column are taken out."""
    key: list[tuple[str, str]] = []
    places: list[int] = []
    values: list[str] = []
    for place, (name, value) in enumerate(pairs):
        found = _PLAIN.match(value) if name.rpartition(".")[2] not in _OTHERS else None
        if found:
            places.append(place)
            values.append(value[found.end() :])
            key.append((name, found[0]))
        else:
            key.append((name, value))
    return Shape(pairs, tuple(places), tuple(key), tuple(values))


def whole(pairs: Pairs) -> Shape:
    """A shape of its own, with no value taken out."""
    return Shape(pairs, (), tuple(pairs), ())


def mark(number: int) -> str:
    """What stands for a value; NUL is in none that Postgres would take."""
    return f"\x00{number}\x00"


@dataclass(frozen=True, slots=True)
class _Plan(Generic[With]):
    text: str
    values: tuple[Value, ...]
    holes: tuple[tuple[int, int], ...]
    """Parameter, and number of the value that it gets."""
    made: With

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.text) + sum(len(value) for value in self.values if value)

    def filled(self, given: Sequence[str]) -> Statement:
        values = list(self.values)
        for parameter, number in self.holes:
            values[parameter] = given[number]
        return Statement(self.text, values)


class Plans(Generic[With]):
    """The plans that were used last, for one state of the schema."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Plan[With]] = OrderedDict()
        self._schema: object = None

    def statement(
        self,
        key: tuple[Hashable, ...],
        given: Sequence[str],
        make: Callable[[Sequence[str]], tuple[Statement, With]],
        schema: object,
    ) -> tuple[Statement, With]:
        """What `make` makes of the values `given`. `key` is everything else that it goes by, but for the `schema`."""
        if self._schema is not schema:
            self._kept.clear()
            self._schema = schema
        plan = self._kept.get(key)
        if plan is None:
            plan = self._made(make, len(given))
            if plan is None:
                return make(given)
            if plan.size <= MOST_CHARS:
                self._kept[key] = plan
                if len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return plan.filled(given), plan.made

    def _made(self, make: Callable[[Sequence[str]], tuple[Statement, With]], count: int) -> _Plan[With] | None:
        """None where a value became something else than a parameter, or nothing could be made: the true values tell."""
        marks = [mark(number) for number in range(count)]
        try:
            statement, made = make(marks)
        except Refusal:
            return None
        holes = [(place, marks.index(value)) for place, value in enumerate(statement.values) if value in marks]
        whole = {number for _, number in holes} == set(range(count))
        inside = "\x00" in statement.text or any(
            isinstance(value, str) and "\x00" in value and value not in marks for value in statement.values
        )
        if not whole or inside:
            return None
        return _Plan(statement.text, tuple(statement.values), tuple(holes), made)
