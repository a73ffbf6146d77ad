"""The query string as a whole: which parameter is what, and for which level of the embedding it is meant."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from urllib.parse import quote

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal
from agent.localstack.rest.grammar import (
    parse_filter,
    parse_key,
    parse_logic,
    parse_names,
    parse_order,
    parse_select,
)
from agent.localstack.rest.syntax import Filter, Logic, Order, Path, Query, Window

RESERVED = ("select", "columns", "on_conflict")
OURS = "apikey"
"""The hosted gateway takes the key from the query string, too."""
_NUMBER = re.compile(r"[+-]?\d{1,18}")
_OPERATION = re.compile(
    r"(?:not\.)?(?:in|is|isdistinct|(?:neq|cs|cd|ov|sl|sr|nxr|nxl|adj)|"
    r"(?:eq|gte|gt|lte|lt|like|ilike|match|imatch)(?:\((?:any|all)\))?|(?:fts|plfts|phfts|wfts)(?:\([\w $]+\))?)\."
)


def parse_query(pairs: Iterable[tuple[str, str]], *, arguments: bool = False) -> Query:
    """The query of a request; `pairs` are decoded. `arguments`: what is no filter is one (a function by GET)."""
    once: dict[str, str] = {}
    conditions: list[tuple[Path, Filter | Logic]] = []
    orders: dict[Path, tuple[Order, ...]] = {}
    sizes: dict[Path, dict[str, str]] = {}
    given: list[tuple[str, str]] = []
    for key, value in pairs:
        last = key.rpartition(".")[2]
        if key in RESERVED:
            once.setdefault(key, value)
        elif last in {"and", "or"}:
            conditions.append(_logic(key, value))
        elif last == "order":
            if value:
                orders[_path(key)] = parse_order(value)
        elif last in {"limit", "offset"}:
            sizes.setdefault(_path(key), {})[last] = value
        elif arguments and not _OPERATION.match(value):
            given.append((key, value))
        elif key != OURS:
            path, field = parse_key(key)
            conditions.append((path, parse_filter(value, field)))
    return Query(
        select=parse_select(once.get("select", "")),
        conditions=tuple(conditions),
        orders=orders,
        windows={path: _window(each) for path, each in sizes.items()},
        columns=parse_names("columns", once["columns"]) if "columns" in once else None,
        on_conflict=parse_names("on_conflict", once["on_conflict"]) if "on_conflict" in once else None,
        arguments=tuple(pair for pair in given if pair[0] != OURS),
    )


class Address:
    """`Content-Location` of requests that differ in some values alone: sorted by name, without the key."""

    def __init__(self, name: str, fields: Sequence[tuple[str, str]], places: Sequence[int]) -> None:
        """`places`: at the end of which of the decoded `fields` there is a value to fill in."""
        numbers = {place: number for number, place in enumerate(places)}
        shown = [(*pair, numbers.get(place)) for place, pair in enumerate(fields) if pair[0] != OURS]
        shown.sort(key=itemgetter(0))
        self._parts = [f"/{quote(name)}"]
        self._holes: list[int] = []
        for (key, value, number), between in zip(shown, itertools.chain("?", itertools.repeat("&")), strict=False):
            self._parts[-1] += f"{between}{_quoted(key)}={_quoted(value)}"
            if number is not None:
                self._holes.append(number)
                self._parts.append("")

    def filled(self, values: Sequence[str]) -> str:
        """With these values."""
        text = self._parts[0]
        for number, part in zip(self._holes, self._parts[1:], strict=True):
            text += _quoted(values[number]) + part
        return text


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


def intersect(window: Window, header: str) -> Window:
    """`window` within the `Range` header (`0-9`, `10-`); PGRST103 when nothing can be in it."""
    found = re.fullmatch(r"(\d{1,18})-(\d{0,18})", header.strip())
    if not found:
        return window
    lower, upper = int(found[1]), int(found[2]) if found[2] else None
    if upper is not None and upper < lower:
        raise not_satisfiable(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        )
    start = max(lower, int(window.offset)) if _NUMBER.fullmatch(window.offset) else lower
    ends = [upper + 1] if upper is not None else []
    if window.limit is not None:
        ends.append(int(window.offset) + window.limit)
    limit = max(min(ends) - start, 0) if ends else None
    if limit == 0 and window.limit != 0:
        raise not_satisfiable("Limit should be greater than or equal to zero.")
    return Window(limit=limit, offset=str(start))


def not_satisfiable(details: str, headers: dict[str, str] | None = None) -> Refusal:
    """PGRST103."""
    return refusal(416, "PGRST103", "Requested range not satisfiable", details=details, headers=headers)


def _path(key: str) -> Path:
    """Where `a.b.order` belongs."""
    before = key.rpartition(".")[0]
    if not before:
        return ()
    path, field = parse_key(before)
    return (*path, field.name)


def _logic(key: str, value: str) -> tuple[Path, Logic]:
    path = _path(key)
    negated = "not" in path
    word = key.rpartition(".")[2]
    return tuple(name for name in path if name != "not"), parse_logic(f"not.{word}" if negated else word, value)


def _window(given: dict[str, str]) -> Window:
    """What is no number is ignored, as PostgREST does."""
    limit = int(given["limit"]) if _NUMBER.fullmatch(given.get("limit", "")) else None
    if limit is not None and limit < 0:
        raise not_satisfiable("Limit should be greater than or equal to zero.")
    offset = given.get("offset", "")
    return Window(limit=limit, offset=offset.removeprefix("+") if _NUMBER.fullmatch(offset) else "0")
