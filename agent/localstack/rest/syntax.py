"""What a query string says, as plain values: PostgREST's language without SQL and without the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Path = tuple[str, ...]
"""Names of embedded resources, from the outside in; empty for the table itself."""
# fmt: off
Operator = Literal[
    "eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "isdistinct", "in", "is",
    "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj", "fts", "plfts", "phfts", "wfts",
]
# fmt: on


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """`->key`, or `->>key` (as text); `index`: an array element."""

    key: str
    as_text: bool
    index: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A column and the way into its JSON."""

    name: str
    path: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """`alias:field::cast`; the name `*` is every column."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Embed:
    """`alias:name!hint!inner(select)`, or `...name(select)` (spread)."""

    name: str
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False
    select: tuple[Column | Embed, ...] = ()

    @property
    def shown(self) -> str:
        """The key it has in the answer."""
        return self.alias or self.name


Item = Column | Embed


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """`field=not.op(quantifier).value`; `values` are those of `in`, `language` that of full-text search."""

    field: Field
    operator: Operator
    value: str = ""
    values: tuple[str, ...] = ()
    negated: bool = False
    quantifier: Literal["any", "all"] | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Logic:
    """`not.and(…)`, `or(…)`: nested as deep as it comes."""

    conjunction: Literal["and", "or"]
    terms: tuple[Filter | Logic, ...]
    negated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One term of `order=`; `relation`: by a column of that embedded resource."""

    field: Field
    relation: str | None = None
    direction: Literal["asc", "desc"] | None = None
    nulls: Literal["first", "last"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """`limit` and `offset` of one level; the offset stays text, for Postgres to judge."""

    limit: int | None = None
    offset: str = "0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A parsed query string."""

    select: tuple[Item, ...]
    conditions: tuple[tuple[Path, Filter | Logic], ...] = ()
    orders: Mapping[Path, tuple[Order, ...]] = field(default_factory=dict)
    windows: Mapping[Path, Window] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    """Of a function called by GET."""

    @property
    def window(self) -> Window:
        """That of the table itself."""
        return self.windows.get((), Window())
