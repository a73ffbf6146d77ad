"""What every value of the model has in common."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict of the same."""


_INSTANTS: dict[type, tuple[str, ...]] = {}
"""Names of the fields that hold datetimes, by class."""


class Value:
    """Refuses naive datetimes: a slot an hour off is the worst bug a scheduler can have."""

    def __post_init__(self) -> None:
        for name in _INSTANTS.get(type(self)) or _instants(type(self)):
            value = getattr(self, name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError(f"{type(self).__name__}.{name} is a naive datetime: {value!r}")


def _instants(model: type[Value]) -> tuple[str, ...]:
    if model not in _INSTANTS:
        every = fields(model)  # type: ignore[arg-type]  # every subclass is a dataclass
        _INSTANTS[model] = tuple(each.name for each in every if "datetime" in str(each.type))
    return _INSTANTS[model]
