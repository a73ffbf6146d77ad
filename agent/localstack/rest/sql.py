"""Pieces of SQL. Identifiers are the catalog's, quoted, or aliases of ours; a caller's values are parameters alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal, not_implemented
from agent.localstack.rest.catalog import Table
from agent.localstack.rest.relations import Relation
from agent.localstack.rest.syntax import Field, Filter, Logic
from agent.localstack.rest.wire import Value

OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "is distinct from",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
FULL_TEXT = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
IS = {"null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown"}
MAX_NAME = 63
"""Postgres cuts longer identifiers, and an answer would come under another key than asked for."""


class Parameters:
    """The values of one statement; each becomes `$n`."""

    def __init__(self) -> None:
        self.values: list[Value] = []

    def add(self, value: Value) -> str:
        """The placeholder of a new value."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a level reads from: its alias in the statement, the columns it has (name → type below a domain)."""

    alias: str
    name: str
    columns: Mapping[str, str]
    computed: Mapping[str, str] = field(default_factory=dict)
    relations: Sequence[Relation] = ()

    def column(self, name: str) -> str:
        """`"alias"."name"`, or Postgres' own complaint."""
        if name not in self.columns and name not in self.computed:
            raise unknown_column(self.name, name)
        return f"{quoted(self.alias)}.{quoted(name)}"

    def type_of(self, name: str) -> str:
        """Its type."""
        return self.columns.get(name) or self.computed.get(name, "")


def source_of(table: Table, alias: str | None = None) -> Source:
    """A table as a source, under its own name unless `alias` says otherwise."""
    return Source(
        alias=alias or table.name,
        name=table.name,
        columns={name: each.base for name, each in table.columns.items()},
        computed=table.computed,
        relations=table.relations,
    )


def quoted(name: str) -> str:
    """An identifier; refused where Postgres could not keep it as it is."""
    if "\x00" in name:
        raise refusal(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    if len(name.encode("utf-8", "replace")) > MAX_NAME:
        raise not_implemented(f"names of more than {MAX_NAME} bytes")
    return '"' + name.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """A table or function of the schema that is served."""
    return f'"public".{quoted(name)}'


def listed(names: Iterable[str]) -> str:
    """Identifiers with commas between them."""
    return ", ".join(quoted(name) for name in names)


def unknown_column(table: str, name: str) -> Refusal:
    """As Postgres says it."""
    return refusal(400, "42703", f"column {table}.{name} does not exist")


def expression(parameters: Parameters, source: Source, wanted: Field) -> str:
    """A column and the way into its JSON; other types are made jsonb first."""
    text = source.column(wanted.name)
    if wanted.path and source.type_of(wanted.name) not in {"json", "jsonb"}:
        text = f"to_jsonb({text})"
    for step in wanted.path:
        key = parameters.add(step.key)
        text += ("->>" if step.as_text else "->") + (f"{key}::int" if step.index else key)
    return text


def cast_to(text: str, kind: str, types: Mapping[str, str]) -> str:
    """`text` as a type of the catalog; 42704 for one that is not there."""
    words = " ".join(kind.lower().split())
    spelling = types.get(kind) or types.get(words)
    if spelling is None:
        if words.startswith(("reg", "pg_", "_")):
            raise not_implemented(f"the cast to {kind}")
        raise refusal(400, "42704", f'type "{words}" does not exist')
    return f"cast({text} as {spelling})"


def condition(parameters: Parameters, source: Source, wanted: Filter | Logic, embedded: Mapping[str, str]) -> str:
    """A filter or logic tree. `embedded`: name of an embedded resource → the alias that is null where it is missing."""
    if isinstance(wanted, Logic):
        terms = (condition(parameters, source, each, embedded) for each in wanted.terms)
        joined = f" {wanted.conjunction} ".join(terms)
        return f"not ({joined})" if wanted.negated else f"({joined})"
    name = wanted.field.name
    if name in embedded and not wanted.field.path and wanted.operator == "is" and wanted.value in {"null", "not_null"}:
        missing = (wanted.value == "null") != wanted.negated
        return f"{embedded[name]} is {'not ' if missing else ''}distinct from null"
    text = _comparison(parameters, source, wanted)
    return f"not ({text})" if wanted.negated else text


def _comparison(parameters: Parameters, source: Source, wanted: Filter) -> str:
    if wanted.operator in FULL_TEXT:
        return _full_text(parameters, source, wanted)
    left = expression(parameters, source, wanted.field)
    if wanted.operator == "is":
        return f"{left} is {IS[wanted.value]}"
    if wanted.operator == "in":
        return f"{left} = any ({parameters.add(array_literal(wanted.values))})"
    pattern = wanted.operator in {"like", "ilike"}
    right = parameters.add(wanted.value.replace("*", "%") if pattern else wanted.value)
    if wanted.quantifier:
        right = f"{wanted.quantifier} ({right})"
    return f"{left} {OPERATORS[wanted.operator]} {right}"


def _full_text(parameters: Parameters, source: Source, wanted: Filter) -> str:
    left = expression(parameters, source, wanted.field)
    language = f"{parameters.add(wanted.language)}::regconfig, " if wanted.language else ""
    if wanted.field.path or source.type_of(wanted.field.name) != "tsvector":
        left = f"to_tsvector({language}{left})"
    return f"{left} @@ {FULL_TEXT[wanted.operator]}({language}{parameters.add(wanted.value)})"


def array_literal(values: Sequence[str]) -> str:
    """An array literal of unknown type: Postgres takes the column's, as for a single value."""
    if tuple(values) == ("",):
        return "{}"
    slashed = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in slashed) + "}"
