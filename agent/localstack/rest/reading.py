"""`select … from …` for a level and all that is embedded in it, and the row that a request is answered from.

Each embedded resource is a lateral join: one object where the relation leads to one row, else an array.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import not_implemented
from agent.localstack.rest.catalog import Catalog
from agent.localstack.rest.levels import Level, not_embedded
from agent.localstack.rest.preferences import JSON_MEDIA, Media
from agent.localstack.rest.relations import Relation, find_relation
from agent.localstack.rest.sql import (
    Parameters,
    Source,
    cast_to,
    condition,
    expression,
    qualified,
    quoted,
    source_of,
)
from agent.localstack.rest.syntax import Column, Embed, Filter, Order, Step
from agent.localstack.rest.wire import Statement

MAX_ROWS = 1000
"""Hosted projects' `max_rows`: it caps reads, functions and what is embedded, silently."""
MAX_EMBEDS = 40
NULLS = {"first": " nulls first", "last": " nulls last"}


@dataclass(kw_only=True, slots=True)
class Reader:
    """Writes the levels of one statement."""

    catalog: Catalog
    parameters: Parameters
    capped: bool = True
    """Whether `max_rows` holds (it does not for what a write returns)."""
    _embeds: int = 0
    _aliases: set[str] = field(default_factory=set)

    def level(self, level: Level, source: Source, origin: str, joined: str = "") -> str:
        """A whole select. `origin`: the from clause; `joined`: what ties it to the level above."""
        columns, body = self.parts(level, source, origin, joined)
        return f"select {columns} {body}{self._order(level, source)}{self._window(level)}"

    def parts(self, level: Level, source: Source, origin: str, joined: str = "") -> tuple[str, str]:
        """The select list, and from … where (without order and limit): what is counted, too."""
        self._aliases.add(source.alias)
        items = [self._column(source, each) for each in level.columns]
        joins, embedded = [], {}
        for each in level.embeds:
            shown, join = self._embed(each, source)
            embed = _embed_of(each)
            embedded[embed.shown] = shown.alias
            joins.append(join)
            items += [shown.item] if shown.item else []
        if not items:
            items = [f"{quoted(source.alias)}.*"] if level.embed is None and not level.embeds else ["1"]
        terms = [joined] if joined else []
        terms += [condition(self.parameters, source, each, embedded) for each in level.where]
        where = f" where {' and '.join(terms)}" if terms else ""
        return ", ".join(items), f"from {origin}{''.join(joins)}{where}"

    def _column(self, source: Source, column: Column) -> str:
        if column.field.name == "*":
            return f"{quoted(source.alias)}.*"
        text = expression(self.parameters, source, column.field)
        if column.cast:
            text = cast_to(text, column.cast, self.catalog.types)
        return f"{text} as {quoted(shown_name(column))}"

    def _embed(self, level: Level, parent: Source) -> tuple[_Shown, str]:
        self._embeds += 1
        if self._embeds > MAX_EMBEDS:
            raise not_implemented(f"more than {MAX_EMBEDS} embedded resources")
        embed, number = _embed_of(level), self._embeds
        relation = find_relation(parent.name, parent.relations, embed.name, embed.hint, self.catalog.tables)
        alias = self._alias(relation.target)
        source = source_of(self.catalog.tables[relation.target], alias)
        origin, joined = _tie(relation, parent.alias, alias, f"_j{number}")
        inside = self.level(level, source, origin, joined)
        row = f"_e{number}"
        if relation.to_one:
            kind = "inner" if embed.inner else "left"
            join = f" {kind} join lateral ({inside}) as {row} on true"
            shown = (
                self._spread(level, source, row) if embed.spread else f"row_to_json({row}.*) as {quoted(embed.shown)}"
            )
            return _Shown(alias=row, item="" if level.silent else shown), join
        if embed.spread:
            raise not_implemented(f"spreading '{embed.name}', which is to many")
        array = f"select json_agg({row}) as rows from ({inside}) as {row}"
        join = f" {'inner' if embed.inner else 'left'} join lateral ({array}) as {row} on "
        join += f"{row}.rows is not null" if embed.inner else "true"
        item = "" if level.silent else f"coalesce({row}.rows, '[]') as {quoted(embed.shown)}"
        return _Shown(alias=f"{row}.rows", item=item), join

    def _spread(self, level: Level, source: Source, row: str) -> str:
        names: list[str] = []
        for each in level.columns:
            names += source.columns if each.field.name == "*" else [shown_name(each)]
        for inner in level.embeds:
            if _embed_of(inner).spread:
                raise not_implemented("spreading within a spread")
            names += [] if inner.silent else [_embed_of(inner).shown]
        return ", ".join(f"{row}.{quoted(name)}" for name in names)

    def _alias(self, table: str) -> str:
        """A name for a table in this statement that no other has."""
        depth = 1
        while f"{table}_{depth}" in self._aliases or f"{table}_{depth}" in self.catalog.tables:
            depth += 1
        alias = f"{table}_{depth}"
        self._aliases.add(alias)
        return alias

    def _order(self, level: Level, source: Source) -> str:
        if not level.order:
            return ""
        return " order by " + ", ".join(self._order_term(level, source, each) for each in level.order)

    def _order_term(self, level: Level, source: Source, term: Order) -> str:
        direction = f" {term.direction}" if term.direction else ""
        return self._order_by(level, source, term) + direction + NULLS.get(term.nulls or "", "")

    def _order_by(self, level: Level, source: Source, term: Order) -> str:
        if term.relation is None:
            return expression(self.parameters, source, term.field)
        below = level.find(term.relation)
        if below is None:
            raise not_embedded(term.relation)
        embed = _embed_of(below)
        relation = find_relation(source.name, source.relations, embed.name, embed.hint, self.catalog.tables)
        if not relation.to_one:
            raise refusal(
                400,
                "PGRST118",
                f"A related order on '{term.relation}' is not possible",
                details=f"'{source.name}' and '{term.relation}' do not form a many-to-one or one-to-one relationship",
            )
        # By a select of its own: the joined one has only the columns that were asked for.
        target = source_of(self.catalog.tables[relation.target], self._alias(relation.target))
        origin, joined = _tie(relation, source.alias, target.alias, "")
        return f"(select {expression(self.parameters, target, term.field)} from {origin} where {joined})"

    def _window(self, level: Level) -> str:
        limit, offset = level.window.limit, level.window.offset
        if self.capped:
            limit = MAX_ROWS if limit is None else min(limit, MAX_ROWS)
        text = "" if limit is None else f" limit {self.parameters.add(str(limit))}"
        return text if offset == "0" else f"{text} offset {self.parameters.add(offset)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shown:
    """How an embedded resource appears: what is null where there is none, and its entry in the select list."""

    alias: str
    item: str


def _embed_of(level: Level) -> Embed:
    assert level.embed is not None  # noqa: S101 # only the root has none, and it is never embedded
    return level.embed


def shown_name(column: Column) -> str:
    """The key a column has in the answer: alias, else the last key of its path, else its name."""
    if column.alias:
        return column.alias
    return _last_key(column.field.path) or column.field.name


def _last_key(path: Collection[Step]) -> str | None:
    return next((step.key for step in reversed(tuple(path)) if not step.index), None)


def _tie(relation: Relation, parent: str, alias: str, junction_alias: str) -> tuple[str, str]:
    """The from clause of an embedded table, and the condition that ties it to the level above."""
    origin = f"{qualified(relation.target)} as {quoted(alias)}"
    if relation.junction is None:
        return origin, _equal(parent, alias, relation.pairs)
    near = _equal(parent, junction_alias, relation.pairs)
    far = _equal(junction_alias, alias, relation.far_pairs)
    return f"{origin}, {qualified(relation.junction)} as {quoted(junction_alias)}", f"{near} and {far}"


def _equal(left: str, right: str, pairs: Collection[tuple[str, str]]) -> str:
    return " and ".join(f"{quoted(right)}.{quoted(theirs)} = {quoted(left)}.{quoted(ours)}" for ours, theirs in pairs)


# ── the answering row ─────────────────────────────────────────────────────────


def read(catalog: Catalog, level: Level, source: Source, media: Media, *, counted: bool, body: bool) -> Statement:
    """`GET /table`. `counted`: with the total; `body`: else (HEAD) with nothing but numbers."""
    reader = Reader(catalog=catalog, parameters=Parameters())
    origin = qualified(source.name)
    text = reader.level(level, source, origin)
    total = _total(reader, level, source, origin) if counted else "null"
    return Statement(answering(text, media if body else None, total=total), reader.parameters.values)


def count(catalog: Catalog, level: Level, source: Source, *, limit: int | None = None) -> Statement:
    """How many rows there are in all, at most `limit`; for `explain`, too."""
    reader = Reader(catalog=catalog, parameters=Parameters())
    _, body = reader.parts(_bare(level), source, qualified(source.name))
    capped = f" limit {limit}" if limit is not None else ""
    return Statement(f"select 1 {body}{capped}", reader.parameters.values)


def _total(reader: Reader, level: Level, source: Source, origin: str) -> str:
    _, body = reader.parts(_bare(level), source, origin)
    return f"(select count(*) from (select 1 {body}) as _n)"


def _bare(level: Level) -> Level:
    """The level without what does not change how many rows there are."""
    named = {each.field.name for each in _filters(level)}
    kept = [each for each in level.embeds if _embed_of(each).inner or _embed_of(each).shown in named]
    return Level(embed=None, columns=(), embeds=kept, where=level.where)


def _filters(level: Level) -> list[Filter]:
    found: list[Filter] = []
    waiting = list(level.where)
    while waiting:
        each = waiting.pop()
        if isinstance(each, Filter):
            found.append(each)
        else:
            waiting.extend(each.terms)
    return found


def answering(
    rows: str,
    media: Media | None = JSON_MEDIA,
    *,
    total: str = "null",
    shape: str = "",
    before: str = "",
    inserted: str = "null",
) -> str:
    """The statement around `rows`: its one row is body, rows, total, response headers, response status, inserted.

    `shape`: instead of a list (functions); `before`: common table expressions.
    """
    body = "''" if media is None else shape or _aggregate("_t", media)
    settings = "current_setting('response.headers', true), current_setting('response.status', true)"
    return f"{before}select {body}, count(*), {total}, {settings}, {inserted} from ({rows}) as _t"


def _aggregate(value: str, media: Media) -> str:
    if media.kind == "csv":
        return _CSV
    text = f"json_agg({value})"
    return f"coalesce({f'json_strip_nulls({text})' if media.stripped else text}, '[]')::text"


def scalar(value: str, media: Media) -> str:
    """The first row's `value` alone."""
    text = f"json_agg({value})->0"
    return f"coalesce({f'json_strip_nulls({text})' if media.stripped else text}, 'null')::text"


def list_of(value: str, media: Media) -> str:
    """A list of `value`."""
    return _aggregate(value, media)


_CSV = (
    "coalesce((array_agg((select string_agg(k, ',') from json_object_keys(row_to_json(_t)) as k)))[1], '')"
    " || E'\\n' || "
    "coalesce(string_agg(substring(_t::text, 2, length(_t::text) - 2), E'\\n'), '')"
)
