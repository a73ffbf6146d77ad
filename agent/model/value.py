"""What every value of the model has in common."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict of the same."""


class Value:
    """Refuses naive datetimes: a slot an hour off is the worst bug a scheduler can have."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, each.name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError(f"{type(self).__name__}.{each.name} is a naive datetime: {value!r}")
