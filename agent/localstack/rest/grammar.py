"""PostgREST's grammar of `select`, `order`, filters and logic trees (its QueryParams.hs), parameter by parameter."""

from __future__ import annotations

import re
from typing import Literal, cast

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import not_implemented
from agent.localstack.rest.scanner import FIELD_NAME, Scanner
from agent.localstack.rest.syntax import Column, Embed, Field, Filter, Item, Logic, Operator, Order, Path, Step

SIMPLE = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
QUANTIFIED = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")
FULL_TEXT = ("fts", "plfts", "phfts", "wfts")
IS_VALUES = ("null", "not_null", "true", "false", "unknown")
MAX_DEPTH = 20
"""Of embeds and of logic trees; deeper ones would cost the parser its stack, and Postgres more."""
_SIMPLE = re.compile(rf"({'|'.join(SIMPLE)})\.")
_QUANTIFIED = re.compile(rf"({'|'.join(QUANTIFIED)})(?:\((any|all)\))?\.")
_FULL_TEXT = re.compile(rf"({'|'.join(FULL_TEXT)})(?:\(([\w $]+)\))?\.")
_IS = re.compile(rf"({'|'.join(sorted(IS_VALUES, key=len, reverse=True))})", re.IGNORECASE)
_INDEX = re.compile(r"(-?\d+)(?=->|::|\.|,|\)|\Z)")
_KEY = re.compile(r"[^(\-:.,>)]+(?:-(?!>)[^(\-:.,>)]+)*")
_PLAIN = re.compile(r"[^,)]*")
_ARRAY = re.compile(r"\{[^{}]*\}")
_REST = re.compile(r".*", re.DOTALL)
_AGGREGATE = re.compile(r"\.(?:sum|avg|count|max|min)\(\)")
_DIRECTION = re.compile(r"\.(asc|desc)")
_NULLS = re.compile(r"\.nulls(first|last)")
_OPERATOR = "operator (eq, gt, ...)"


def parse_select(text: str) -> tuple[Item, ...]:
    """`select=…`; nothing at all is every column."""
    if not text.strip(" \t"):
        return (Column(field=Field(name="*")),)
    scanner = Scanner("select parameter", text)
    items = _items(scanner, 1)
    scanner.end('"," or end of input')
    return items


def parse_filter(text: str, field: Field) -> Filter:
    """The value of `field=…`."""
    scanner = Scanner("filter", text)
    found = _operation(scanner, field, inside=False)
    scanner.end()
    return found


def parse_logic(conjunction: str, text: str) -> Logic:
    """The value of `and=`, `or=`, `not.and=`, `not.or=`."""
    scanner = Scanner("logic tree", text, prefix=conjunction)
    found = _logic(scanner, 1)
    scanner.end()
    return cast("Logic", found)


def parse_order(text: str) -> tuple[Order, ...]:
    """`order=…`."""
    scanner = Scanner("order", text)
    terms = [_order(scanner)]
    while scanner.take(","):
        terms.append(_order(scanner))
    scanner.end('delimiter (.), "," or end of input')
    return tuple(terms)


def parse_names(what: str, text: str) -> tuple[str, ...]:
    """`columns=` and `on_conflict=`."""
    scanner = Scanner(f"{what} parameter", text)
    names = [scanner.name()]
    while scanner.take(","):
        scanner.blanks()
        names.append(scanner.name())
    scanner.end('"," or end of input')
    return tuple(names)


def parse_key(key: str) -> tuple[Path, Field]:
    """The name of a filter: `embedded.column->path`."""
    scanner = Scanner("tree path", key)
    names = [scanner.name()]
    while scanner.take("."):
        names.append(scanner.name())
    field = Field(name=names[-1], path=_json_path(scanner))
    scanner.end('delimiter (.), "->>", "->" or end of input')
    return tuple(names[:-1]), field


# ── select ────────────────────────────────────────────────────────────────────


def _items(scanner: Scanner, depth: int) -> tuple[Item, ...]:
    if depth > MAX_DEPTH:
        raise not_implemented(f"embedding deeper than {MAX_DEPTH}")
    items = [_item(scanner, depth)]
    while scanner.take(","):
        items.append(_item(scanner, depth))
    return tuple(items)


def _item(scanner: Scanner, depth: int) -> Item:
    scanner.blanks()
    if scanner.take("..."):
        name = scanner.name()
        embed = _embed(scanner, name, None, depth, spread=True)
        if embed is None:
            scanner.fail('"!" or "("')
        return embed
    if scanner.take("*"):
        return Column(field=Field(name="*"))
    name, alias = scanner.name(), None
    if scanner.text.startswith(":", scanner.place) and not scanner.text.startswith("::", scanner.place):
        scanner.place += 1
        alias, name = name, scanner.name()
    if name == "count" and scanner.take("()"):
        raise _no_aggregates()
    return _embed(scanner, name, alias, depth) or _column(scanner, name, alias)


def _embed(scanner: Scanner, name: str, alias: str | None, depth: int, *, spread: bool = False) -> Embed | None:
    start, hint, inner = scanner.place, None, False
    while scanner.take("!"):
        word = scanner.name()
        if word in {"inner", "left"}:
            inner = word == "inner"
        else:
            hint = hint or word
    if not scanner.take("("):
        if scanner.place != start:
            scanner.fail('"("')
        return None
    scanner.blanks()
    select = () if scanner.text.startswith(")", scanner.place) else _items(scanner, depth + 1)
    scanner.need(")", '"," or ")"')
    scanner.blanks()
    return Embed(name=name, alias=alias, hint=hint, inner=inner, spread=spread, select=select)


def _column(scanner: Scanner, name: str, alias: str | None) -> Column:
    field = Field(name=name, path=_json_path(scanner))
    kind = scanner.identifier("letter or digit") if scanner.take("::") else None
    if scanner.match(_AGGREGATE):
        raise _no_aggregates()
    scanner.blanks()
    if not scanner.ended and scanner.text[scanner.place] not in ",)":
        scanner.fail('letter, digit, "-", "->>", "->", "::", ".", ")", "," or end of input')
    return Column(field=field, alias=alias, cast=kind)


def _no_aggregates() -> Exception:
    """Hosted projects have them switched off (`db-aggregates-enabled`)."""
    return refusal(400, "PGRST123", "Use of aggregate functions is not allowed")


def _json_path(scanner: Scanner) -> tuple[Step, ...]:
    steps: list[Step] = []
    while True:
        as_text = scanner.take("->>")
        if not as_text and not scanner.take("->"):
            return tuple(steps)
        index = scanner.match(_INDEX)
        if index:
            steps.append(Step(key=index[1], as_text=as_text, index=True))
        elif scanner.text.startswith('"', scanner.place):
            steps.append(Step(key=scanner.quoted(), as_text=as_text, index=False))
        else:
            key = scanner.match(_KEY)
            if not key:
                scanner.fail("digit or any non reserved character different from: .,>()")
            steps.append(Step(key=key[0].strip(), as_text=as_text, index=False))


# ── filters ───────────────────────────────────────────────────────────────────


def _operation(scanner: Scanner, field: Field, *, inside: bool) -> Filter:
    """`not.op.value`; `inside` a logic tree values end at a comma or bracket."""
    negated = scanner.take("not.")
    if scanner.take("in."):
        return Filter(field=field, operator="in", values=_list(scanner), negated=negated)
    if scanner.take("isdistinct."):
        return Filter(field=field, operator="isdistinct", value=_value(scanner, inside=inside), negated=negated)
    if scanner.take("is."):
        word = scanner.match(_IS)
        if not word:
            scanner.fail("isVal: (null, not_null, true, false, unknown)")
        return Filter(field=field, operator="is", value=word[1].lower(), negated=negated)
    text = scanner.match(_FULL_TEXT)
    if text:
        language = text[2].strip() if text[2] else None
        value = _value(scanner, inside=inside)
        operator = cast("Operator", text[1])
        return Filter(field=field, operator=operator, value=value, negated=negated, language=language)
    found = scanner.match(_SIMPLE) or scanner.match(_QUANTIFIED)
    if not found:
        scanner.fail(_OPERATOR if negated else f'"not" or {_OPERATOR}')
    quantifier = cast("Literal['any', 'all'] | None", found[2] if found.re is _QUANTIFIED else None)
    value = _value(scanner, inside=inside)
    operator = cast("Operator", found[1])
    return Filter(field=field, operator=operator, value=value, negated=negated, quantifier=quantifier)


def _value(scanner: Scanner, *, inside: bool) -> str:
    if not inside:
        return cast("re.Match[str]", scanner.match(_REST))[0]
    quoted = _quoted_element(scanner)
    if quoted is not None:
        return quoted
    found = scanner.match(_ARRAY) or scanner.match(_PLAIN)
    return found[0] if found else ""


def _quoted_element(scanner: Scanner) -> str | None:
    """A quoted value, if a comma or bracket comes right after it; else the quotes are part of the value."""
    start = scanner.place
    found = scanner.match(re.compile(r'"(?:[^"\\]|\\.)*"(?=[,)]|\Z)', re.DOTALL))
    if not found:
        return None
    scanner.place = start
    return scanner.quoted()


def _list(scanner: Scanner) -> tuple[str, ...]:
    """`(a,b,"c,d")`."""
    scanner.blanks()
    scanner.need("(")
    scanner.blanks()
    found: list[str] = []
    while True:
        quoted = _quoted_element(scanner)
        found.append(quoted if quoted is not None else cast("re.Match[str]", scanner.match(_PLAIN))[0])
        if scanner.take(","):
            continue
        scanner.need(")", '"," or ")"')
        scanner.blanks()
        return tuple(found)


def _logic(scanner: Scanner, depth: int) -> Filter | Logic:
    if depth > MAX_DEPTH:
        raise not_implemented(f"logic trees deeper than {MAX_DEPTH}")
    scanner.blanks()
    start = scanner.place
    opened = re.compile(r"(not\.)?(and|or)[ \t]*\(").match(scanner.text, start)
    if not opened:
        return _leaf(scanner)
    scanner.place = opened.end()
    scanner.blanks()
    terms = [_logic(scanner, depth + 1)]
    while scanner.take(","):
        terms.append(_logic(scanner, depth + 1))
    scanner.blanks()
    scanner.need(")", '"," or ")"')
    scanner.blanks()
    conjunction = cast("Literal['and', 'or']", opened[2])
    return Logic(conjunction=conjunction, terms=tuple(terms), negated=bool(opened[1]))


def _leaf(scanner: Scanner) -> Filter:
    place = scanner.place
    if re.compile(r"(?:not\.)?(?:and|or)(?![\w $.\-])").match(scanner.text, place):
        scanner.place = place + len(scanner.text[place:].split(")")[0].split(",")[0])
        scanner.fail('"("')
    expecting = f"{FIELD_NAME}, negation operator (not) or logic operator (and, or)"
    field = Field(name=scanner.name(expecting), path=_json_path(scanner))
    scanner.blanks()
    scanner.need(".", "delimiter (.)")
    return _operation(scanner, field, inside=True)


# ── order ─────────────────────────────────────────────────────────────────────


def _order(scanner: Scanner) -> Order:
    scanner.blanks()
    name, relation = scanner.name(), None
    if scanner.take("("):
        scanner.blanks()
        relation, name = name, scanner.name()
    field = Field(name=name, path=_json_path(scanner))
    if relation is not None:
        scanner.need(")")
    direction, nulls = scanner.match(_DIRECTION), scanner.match(_NULLS)
    scanner.blanks()
    if not scanner.ended and not scanner.text.startswith(",", scanner.place):
        words = '"nullsfirst" or "nullslast"' if direction else '"asc", "desc", "nullsfirst" or "nullslast"'
        delimiter = scanner.take(".")
        scanner.fail(words if delimiter else 'delimiter (.), "," or end of input')
    return Order(
        field=field,
        relation=relation,
        direction=cast("Literal['asc', 'desc'] | None", direction[1] if direction else None),
        nulls=cast("Literal['first', 'last'] | None", nulls[1] if nulls else None),
    )
