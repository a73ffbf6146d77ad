"""Statements made once for every request of the same shape, and filled in with each one's values.

`?id=eq.1` and `?id=eq.2` are one shape: a value behind these operators only ever becomes a parameter. That is checked
for each shape: its statement is made with marks in place of the values, and each mark has to come back as a parameter.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote_plus

from agent.localstack.refusal import Refusal
from agent.localstack.rest.wire import Encoded, Statement, Value, encode, encode_text

MOST_KEPT = 1000
MOST_CHARS = 4000
"""Of a shape that is kept: what strangers send must not fill the memory."""
_PLAIN = re.compile(r"([^=]+)=(?:not\.)?(?:eq|neq|gt|gte|lt|lte)\.")
"""A field up to its value, if that is one of its own."""
_OTHERS = {"select", "columns", "on_conflict", "apikey", "and", "or", "order", "limit", "offset"}
Pairs = Sequence[tuple[str, str]]
With = TypeVar("With")


class Shape(NamedTuple):
    """A query string without its values, and the values."""

    key: tuple[str, ...]
    """Its fields as they came, or what stands before the value of those that have one of their own."""
    places: tuple[int, ...]
    """Which have."""
    values: tuple[str, ...]
    """Theirs, decoded."""

    def pairs(self) -> Pairs:
        """Names and values, decoded."""
        return self.with_values(self.values)

    def with_values(self, values: Sequence[str]) -> Pairs:
        """The pairs with other values."""
        pairs = self.fields()
        for place, value in zip(self.places, values, strict=True):
            name, operator = pairs[place]
            pairs[place] = (name, operator + value)
        return pairs

    def fields(self) -> list[tuple[str, str]]:
        """The key, decoded."""
        split = (field.partition("=") for field in self.key)
        return [(_decoded(name), _decoded(value)) for name, _, value in split]


def shape_of(query_string: str) -> Shape:
    """Its shape: values of comparisons with a column are taken out."""
    key: list[str] = []
    places: list[int] = []
    values: list[str] = []
    for field in query_string.split("&"):
        found = _PLAIN.match(field)
        if found and _decoded(found[1]).rpartition(".")[2] not in _OTHERS:
            places.append(len(key))
            values.append(_decoded(field[found.end() :]))
            key.append(found[0])
        elif field:
            key.append(field)
    return Shape(tuple(key), tuple(places), tuple(values))


def whole(query_string: str) -> Shape:
    """A shape of its own, with no value taken out."""
    return Shape(tuple(field for field in query_string.split("&") if field), (), ())


def _decoded(text: str) -> str:
    """As `parse_qsl` does."""
    return unquote_plus(text) if "%" in text or "+" in text else text


def mark(number: int) -> str:
    """What stands for a value; NUL is in none that Postgres would take."""
    return f"\x00{number}\x00"


@dataclass(frozen=True, slots=True)
class _Plan(Generic[With]):
    text: str
    values: tuple[Value, ...]
    encoded: Encoded
    """The values, to be sent."""
    holes: tuple[tuple[int, int], ...]
    """Parameter, and number of the value that it gets."""
    made: With

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.text) + sum(len(value) for value in self.values if value)

    def filled(self, given: Sequence[str]) -> Statement:
        if not self.holes:
            return Statement(self.text, self.values, self.encoded)
        values, encoded = list(self.values), list(self.encoded[0])
        for parameter, number in self.holes:
            values[parameter] = given[number]
            encoded[parameter] = encode_text(given[number])
        return Statement(self.text, values, (encoded, self.encoded[1]))


class Plans(Generic[With]):
    """The plans that were used last, for one state of the schema."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Plan[With]] = OrderedDict()
        self._schema: object = None

    def find(self, key: tuple[Hashable, ...], given: Sequence[str], schema: object) -> tuple[Statement, With] | None:
        """What `statement` would say, if nothing has to be made for it."""
        plan = self._kept.get(key)
        if plan is None or self._schema is not schema:
            return None
        self._kept.move_to_end(key)
        return plan.filled(given), plan.made

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
        found = self.find(key, given, schema)
        if found is not None:
            return found
        plan = self._made(make, len(given))
        if plan is None:
            return make(given)
        if plan.size <= MOST_CHARS:
            self._kept[key] = plan
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
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
        blank = ["" if value in marks else value for value in statement.values]
        return _Plan(statement.text, tuple(statement.values), encode(blank), tuple(holes), made)
