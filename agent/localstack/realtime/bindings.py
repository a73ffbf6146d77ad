"""What a client asks for in `config.postgres_changes`: event, schema, table, filters, columns.

Parses only; whether tables and columns exist is asked of Postgres. Texts of errors are those of Supabase Realtime.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.value import Json

PATTERNS = frozenset({"match", "imatch"})
"""Regular expressions: a subscriber's runs against every change, and may take its time."""
OPERATORS = PATTERNS | {"eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "isdistinct"}
LONGEST_PATTERN = 1000
"""Characters of a regular expression."""
EVENTS = ("INSERT", "UPDATE", "DELETE")
LONGEST_FILTER = 16 * 1024
"""Characters: whoever holds the public key may send one."""


class BindingError(Exception):
    """The binding makes no sense; the message is sent to the client."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One condition on a column; several are joined by AND."""

    column: str
    op: str
    value: str
    """Of `in`: a Postgres array literal."""
    negate: bool = False

    def as_json(self) -> Json:
        """For Postgres."""
        return {"column": self.column, "op": self.op, "value": self.value, "negate": self.negate}

    def __str__(self) -> str:
        negate = "true" if self.negate else "false"
        return f"{{{inspect(self.column)}, {inspect(self.op)}, {inspect(self.value)}, {negate}}}"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One entry of `postgres_changes`; `*` stands for any event, schema or table."""

    id: int
    event: str
    schema: str
    table: str
    filters: tuple[Filter, ...] = ()
    select: tuple[str, ...] | None = None
    """Columns to send beside the primary key; None: all."""

    def takes(self, action: str) -> bool:
        """Whether this binding asks for an INSERT, UPDATE or DELETE."""
        return self.event in ("*", action)

    def __str__(self) -> str:
        filters = ", ".join(str(each) for each in self.filters)
        select = "nil" if self.select is None else inspect(list(self.select))
        return (
            f"event: {self.event}, schema: {self.schema}, table: {self.table}, filters: [{filters}], select: {select}"
        )


def binding_id(params: Mapping[str, Json]) -> int:
    """A non-zero number that is the same for the same binding, in every process."""
    canonical = json.dumps(params, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return zlib.crc32(canonical.encode()) % 0x7FFFFFF + 1


def parse_binding(params: Mapping[str, Json]) -> Binding:
    """The binding of one entry, or BindingError with the text for the client."""
    select = _select(params)
    schema, table, text = params.get("schema"), params.get("table"), params.get("filter")
    known = {name for name in ("schema", "table", "filter") if name in params}
    if known == {"schema", "table", "filter"} and _texts(schema, table, text):
        filters = _filters(str(text))
    elif known in ({"schema", "table"}, {"schema"}, {"table"}) and _texts(*(params[name] for name in known)):
        filters = ()
    else:
        raise BindingError(
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
            + inspect(dict(params))
        )
    binding = Binding(
        id=binding_id(params),
        event=_event(params.get("event")),
        schema="public" if schema is None else str(schema),
        table="*" if table is None else str(table),
        filters=filters,
        select=select,
    )
    if select is not None and "*" in (binding.schema, binding.table):
        raise BindingError(
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
        )
    return binding


def _texts(*values: Json) -> bool:
    return all(isinstance(value, str) for value in values)


def _event(event: Json) -> str:
    return event.upper() if isinstance(event, str) and event.upper() in EVENTS else "*"


def _select(params: Mapping[str, Json]) -> tuple[str, ...] | None:
    select = params.get("select")
    if isinstance(select, str):
        raise BindingError(
            'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]'
        )
    columns = [column for column in select if isinstance(column, str)] if isinstance(select, list) else []
    return tuple(columns) or None


def _filters(text: str) -> tuple[Filter, ...]:
    if not text.strip():
        return ()
    if len(text) > LONGEST_FILTER:
        raise BindingError(f"not implemented by the local stack: a filter of more than {LONGEST_FILTER} characters")
    try:
        return tuple(_filter(segment.strip()) for segment in _split(text.strip()))
    except BindingError as err:
        raise BindingError(f"Error parsing `filter` params: {err}") from None


def _split(text: str) -> list[str]:
    """Cut at commas outside parentheses and outside double quotes (which open only after `.`, `(` or `,`)."""
    segments, current, depth, quoted, escaped = [], "", 0, False, False
    for char in text:
        if char == "," and not depth and not quoted:
            segments.append(current)
            current = ""
            continue
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = current[-1:] in (".", "(", ",")
        elif char in "()":
            depth = max(0, depth + (1 if char == "(" else -1))
        current += char
    return [*segments, current]


def _filter(segment: str) -> Filter:
    if not segment:
        raise BindingError("filter must not contain empty segments (check for extra commas)")
    column, equals, rest = segment.partition("=")
    if not equals:
        raise BindingError(inspect([segment]))
    negate = rest.startswith("not.")
    op, dot, value = rest.removeprefix("not.").partition(".")
    if not dot:
        raise BindingError(inspect([op]))
    if op not in OPERATORS:
        raise BindingError(inspect([op, value]))
    if op in PATTERNS and len(value) > LONGEST_PATTERN:
        raise BindingError(f"not implemented by the local stack: a pattern of more than {LONGEST_PATTERN} characters")
    return Filter(column=column, op=op, value=_array(value) if op == "in" else _unquoted(value), negate=negate)


def _array(value: str) -> str:
    if len(value) < len("()") or value[0] != "(" or value[-1] != ")":
        raise BindingError("`in` filter value must be wrapped by parentheses")
    return "{" + value[1:-1] + "}"


def _unquoted(value: str) -> str:
    """Strip the quotes and backslashes of one quoted string; leave anything else as it is."""
    if not value.startswith('"'):
        return value
    text, escaped = "", False
    for at, char in enumerate(value[1:], start=2):
        if escaped:
            text, escaped = text + char, False
        elif char == "\\":
            escaped = True
        elif char == '"':
            return text if at == len(value) else value
        else:
            text += char
    return value


def inspect(value: Json) -> str:
    """A JSON value as Elixir prints it: the genuine server's messages quote what they were given that way."""
    if isinstance(value, list):
        return "[" + ", ".join(inspect(item) for item in value) + "]"
    if isinstance(value, dict):
        return "%{" + ", ".join(f"{inspect(key)} => {inspect(value[key])}" for key in sorted(value)) + "}"
    if value is None:
        return "nil"
    return json.dumps(value, ensure_ascii=False)
