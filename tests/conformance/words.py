"""`${name}` and `${name.part}` in a scenario's texts. Both runners do the same (tests/page/conformance/words.mjs)."""

from __future__ import annotations

import re
from typing import Any

PLACE = re.compile(r"\$\{([\w.]+)\}")


def filled(value: Any, saved: dict[str, Any]) -> Any:
    """`value` with its places filled. A text that is one place becomes what was saved, whatever its type."""
    if isinstance(value, dict):
        return {filled(key, saved): filled(each, saved) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, saved) for each in value]
    if not isinstance(value, str):
        return value
    if whole := PLACE.fullmatch(value):
        return at(saved, whole[1])
    return PLACE.sub(lambda place: str(at(saved, place[1])), value)


def at(value: Any, path: str) -> Any:
    """What lies at `a.b.0`; None where nothing does."""
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value
