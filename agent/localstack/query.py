"""PostgREST's query string and headers, parsed into plain values: the part of its language that this stack serves.

Knows nothing of SQL and of the catalog. What it does not know it refuses: `not_implemented` for what PostgREST has
and this stack has not, PGRST100 for what PostgREST would not parse either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.localstack.refusal import Refusal, not_implemented

OPERATORS = ("eq", "neq", "gt", "gte", "lt", "lte")
KNOWN_ELSEWHERE = (
    *("like", "ilike", "match", "imatch", "isdistinct", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"),
    *("fts", "plfts", "phfts", "wfts"),
)
"""Operators of PostgREST that are refused."""
IS_VALUES = ("null", "not_null", "true", "false", "unknown")
RESERVED = ("select", "columns", "on_conflict", "order", "limit", "offset", "and", "or", "not.and", "not.or", "apikey")
ACCEPTED_PREFERENCES = {
    "return=representation": "return",
    "return=minimal": "return",
    "resolution=ignore-duplicates": "refused",
    "resolution=merge-duplicates": "refused",
    "missing=default": "refused",
    "missing=null": "missing",
    "count=exact": "refused",
    "count=planned": "refused",
    "count=estimated": "refused",
    "return=headers-only": "refused",
    "params=single-object": "refused",
    "handling=strict": "refused",
    "tx=rollback": "refused",
}
"""What each preference is about; PostgREST ignores those it does not know, and so do we."""
OBJECT = "application/vnd.pgrst.object+json"
_NAME = re.compile(r'[\w$][\w $]*(?:-(?!>)[\w $]+)*|"(?:[^"\\]|\\.)*"')
_FULL_NAME = re.compile(rf"(?:{_NAME.pattern})\Z")
_NUMBER = re.compile(r"[+-]?\d{1,18}")

Operator = Literal["eq", "neq", "gt", "gte", "lt", "lte", "in", "is"]


@dataclass(frozen=True, kw_only=True)
class Filter:
    """`column=not.op.value`; for `in`, `values` holds the list."""

    column: str
    operator: Operator
    value: str = ""
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """One term of `order=`."""

    column: str
    descending: bool = False
    nulls: Literal["first", "last"] | None = None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A parsed query string."""

    select: tuple[str, ...] | None
    """Columns in order; None for `*`."""
    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    columns: tuple[str, ...] | None = None

    def names(self) -> set[str]:
        """Every column it mentions."""
        return {
            *(self.select or ()),
            *(self.columns or ()),
            *(each.column for each in self.filters),
            *(each.column for each in self.order),
        }


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the headers ask for."""

    single: bool
    """One object instead of an array, or PGRST116."""
    returning: bool
    """`Prefer: return=representation`."""


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """The query of a request on a table; `pairs` are decoded. Refusal as the module says."""
    single: dict[str, str] = {}
    filters: list[Filter] = []
    for key, value in pairs:
        if key in RESERVED:
            single.setdefault(key, value)
        elif key.rpartition(".")[2] in RESERVED or "." in key:
            raise not_implemented(f"filters on embedded resources ({key})")
        else:
            filters.append(_filter(key, value))
    for key in ("and", "or", "not.and", "not.or", "on_conflict"):
        if key in single:
            raise not_implemented(f"the query parameter {key!r}")
    return Query(
        select=_select(single.get("select", "*")),
        filters=tuple(filters),
        order=tuple(_order(term, single["order"]) for term in _split(single.get("order", ""))),
        limit=_limit(single.get("limit", "")),
        offset=_number(single.get("offset", "")) or 0,
        columns=tuple(_name(part, "columns") for part in _split(single["columns"])) if "columns" in single else None,
    )


def parse_wishes(headers: Mapping[str, str]) -> Wishes:
    """`Accept`, `Prefer`, `Range` and the profile headers; Refusal for what is not served."""
    for header in ("accept-profile", "content-profile"):
        schema = headers.get(header, "public")
        if schema != "public":
            body = {"code": "PGRST106", "details": None, "message": f"Invalid schema: {schema}"}
            raise Refusal(406, body | {"hint": "Only the following schemas are exposed: public"})
    if "range" in headers:
        raise not_implemented("the header Range (use limit and offset)")
    wanted = [part.partition(";") for part in headers.get("accept", "*/*").split(",")]
    types = [kind.strip().lower() for kind, _, _ in wanted]
    single = OBJECT in types or "application/vnd.pgrst.object" in types
    stripped = any("nulls=stripped" in rest for _, _, rest in wanted)
    if stripped or not (single or {"application/json", "*/*", "application/*"} & set(types)):
        raise not_implemented(f"the media type {headers.get('accept')!r}")
    preferences = [part.strip() for part in headers.get("prefer", "").split(",")]
    for preference in preferences:
        if ACCEPTED_PREFERENCES.get(preference) == "refused":
            raise not_implemented(f"Prefer: {preference}")
    returns = [each for each in preferences if ACCEPTED_PREFERENCES.get(each) == "return"]
    return Wishes(single=single, returning=returns[:1] == ["return=representation"])


def unparsable(what: str, value: str, why: str) -> Refusal:
    """PGRST100: PostgREST's answer to a query parameter that it cannot parse."""
    message = f'"failed to parse {what} ({value})" (line 1, column 1)'
    return Refusal(400, {"code": "PGRST100", "details": why, "hint": None, "message": message})


def _select(value: str) -> tuple[str, ...] | None:
    parts = _split(value) or ["*"]
    if parts == ["*"]:
        return None
    if "*" in parts:
        raise not_implemented("`*` beside other columns in select")
    return tuple(_name(part, "select parameter") for part in parts)


def _split(value: str) -> list[str]:
    """Split at commas outside of double quotes."""
    if not value:
        return []
    parts = [""]
    quoted = escaped = False
    for char in value:
        if char == "," and not quoted:
            parts.append("")
            continue
        parts[-1] += char
        quoted = quoted != (char == '"' and not escaped)
        escaped = char == "\\" and not escaped
    return [part.strip(" \t") for part in parts]


def _name(part: str, what: str) -> str:
    """A bare or quoted identifier; anything richer (alias, cast, JSON path, embedding) is refused."""
    if _FULL_NAME.match(part):
        return re.sub(r"\\(.)", r"\1", part[1:-1], flags=re.DOTALL) if part.startswith('"') else part
    if re.search(r"[(:]|->|!|\.\.", part):
        raise not_implemented(f"aliases, casts, JSON paths, functions and embedding ({part})")
    raise unparsable(what, part, f"unexpected {part[:1]!r} expecting field name (* or [a..z0..9_$])")


def _filter(key: str, value: str) -> Filter:
    column = _name(key, "tree path")
    negated = value.startswith("not.")
    operator, dot, rest = value.removeprefix("not.").partition(".")
    if operator.partition("(")[0] in KNOWN_ELSEWHERE:
        raise not_implemented(f"the operator {operator!r}")
    if dot and operator in OPERATORS:
        return Filter(column=column, operator=operator, value=rest, negated=negated)  # type: ignore[arg-type]  # just checked
    if dot and operator == "in":
        return Filter(column=column, operator="in", values=_list(rest, value), negated=negated)
    if dot and operator == "is" and rest.lower() in IS_VALUES:
        return Filter(column=column, operator="is", value=rest.lower(), negated=negated)
    if re.fullmatch(r"(eq|neq|gte?|lte?)\((any|all)\)", operator):
        raise not_implemented(f"the modifier of {operator!r}")
    raise unparsable("filter", value, 'unexpected input expecting "not" or operator (eq, gt, ...)')


def _list(text: str, whole: str) -> tuple[str, ...]:
    """`(a,b,"c,d")`: quoted elements may hold commas and brackets, with backslash escapes."""
    text = text.strip(" \t")
    if not (text.startswith("(") and text.endswith(")")):
        raise unparsable("filter", whole, 'unexpected input expecting "("')
    found: list[str] = []
    place, end = 1, len(text) - 1
    while place <= end:
        quoted = re.compile(r'"((?:[^"\\]|\\.)*)"(?=[,)])', re.DOTALL).match(text, place)
        plain = re.compile(r"[^,)]*").match(text, place)
        if quoted:
            found.append(re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL))
            place = quoted.end()
        elif plain:
            found.append(plain[0])
            place = plain.end()
        if place < end and text[place] != ",":
            raise unparsable("filter", whole, 'unexpected ")" expecting end of input')
        place += 1
    return tuple(found)


def _order(term: str, whole: str) -> Order:
    matched = _NAME.match(term)
    if not matched or re.search(r"[(:]|->", term):
        _name(term, "order")
        raise unparsable("order", whole, "unexpected input expecting field name")
    words = term[matched.end() :].split(".")
    direction = words[1] if len(words) > 1 and words[1] in {"asc", "desc"} else None
    rest = words[2 if direction else 1 :]
    if words[0] or len(rest) > 1 or (rest and rest[0] not in {"nullsfirst", "nullslast"}):
        raise unparsable("order", whole, 'unexpected input expecting "asc", "desc", "nullsfirst" or "nullslast"')
    return Order(
        column=_name(matched[0], "order"),
        descending=direction == "desc",
        nulls=("first" if rest[0] == "nullsfirst" else "last") if rest else None,
    )


def _limit(text: str) -> int | None:
    limit = _number(text)
    if limit is not None and limit < 0:
        body = {"code": "PGRST103", "hint": None, "message": "Requested range not satisfiable"}
        raise Refusal(416, body | {"details": "Limit should be greater than or equal to zero."})
    return limit


def _number(text: str) -> int | None:
    """PostgREST ignores a limit or offset that is not a number."""
    return int(text) if _NUMBER.fullmatch(text) else None
