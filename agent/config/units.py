"""Durations (`1h30m`), sizes (`64KiB`) and how they are written back for people.

Pure text ↔ number. Bare numbers are refused on purpose: `timeout: 30` leaves open what it counts.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SECONDS = {
    "w": Fraction(604_800),
    "d": Fraction(86_400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
"""Largest first: the order in which they may appear."""
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_BYTE_UNITS = {"B": "B", "KIB": "KiB", "MIB": "MiB", "GIB": "GiB", "KB": "KB", "MB": "MB", "GB": "GB"}

_FACTOR = 1024
_LONGEST = 40
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")
_LOOSE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\.?\s*")


class NotThisUnit(ValueError):
    """The text is not a duration or size. `attempt` is what may have been meant, or None."""

    def __init__(self, attempt: str | None) -> None:
        super().__init__(attempt or "")
        self.attempt = attempt


def parse_duration(text: str) -> float:
    """`1h30m` → 5400.0 seconds. Units w, d, h, m, s, ms, each at most once, largest first. Raises `NotThisUnit`."""
    order = list(_SECONDS)
    total, position, last = Fraction(0), 0, -1
    if len(text) <= _LONGEST:
        for part in _PART.finditer(text):
            rank = order.index(part[2])
            if part.start() != position or rank <= last:
                break
            total += Fraction(part[1]) * _SECONDS[part[2]]
            position, last = part.end(), rank
    if not text or position != len(text):
        raise NotThisUnit(_meant_duration(text))
    return float(total)


def format_duration(seconds: float) -> str:
    """5400.0 → `1h30m`, the shortest text that `parse_duration` reads back (to the millisecond)."""
    left = Fraction(round(seconds * 1000), 1000)
    parts = []
    for unit, size in _SECONDS.items():
        if unit == "w":
            continue  # `14d` says more than `2w`
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """`64KiB` → 65536 bytes. Units B, KB, MB, GB (1000) and KiB, MiB, GiB (1024). Raises `NotThisUnit`."""
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST else None
    factor = _BYTES.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise NotThisUnit(_meant_size(text))
    return int(Fraction(match[1]) * factor)


def format_size(count: int) -> str:
    """65536 → `64KiB`: in the largest unit of 1024 that divides it."""
    for unit in ("GIB", "MIB", "KIB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{_BYTE_UNITS[unit]}"
    return f"{count}B"


def _meant_duration(text: str) -> str | None:
    """`15 minuts` → `15m`, `30` → `30s`."""
    match = _LOOSE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    word = match[2].lower()
    if word.startswith(("ms", "mil")):
        return f"{match[1]}ms"
    if word.startswith(("mo", "y")):
        return None
    unit = word[:1] or "s"
    return f"{match[1]}{unit}" if unit in _SECONDS else None


def _meant_size(text: str) -> str | None:
    """`64` and `64k` → `64KiB`, `65536` → `65536B`."""
    match = _LOOSE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    if not match[2] and float(match[1]) < _FACTOR:
        return f"{match[1]}KiB"
    unit = {"": "B", "b": "B", "k": "KiB", "m": "MiB", "g": "GiB"}.get(match[2].lower()[:1])
    return f"{match[1]}{unit}" if unit else None
