"""Insert, upsert, update and delete, and the representation of what they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.localstack.pgerrors import refusal
from agent.localstack.rest.catalog import Catalog, Table
from agent.localstack.rest.levels import Level, conditions_of_root
from agent.localstack.rest.payload import Rows
from agent.localstack.rest.preferences import Media, Preferences
from agent.localstack.rest.reading import Reader, answering
from agent.localstack.rest.relations import find_relation
from agent.localstack.rest.sql import Parameters, condition, listed, qualified, quoted, source_of, unknown_column
from agent.localstack.rest.syntax import Query
from agent.localstack.rest.wire import Statement

INSERTED = "coalesce(nullif(current_setting('cronmirror.inserted', true), '')::int, 0)"
"""How many rows of an upsert were new: counted up for each row, and down again for one that was there."""
COUNT_UP = f"set_config('cronmirror.inserted', ({INSERTED} + 1)::text, true) is not null"
COUNT_DOWN = f"set_config('cronmirror.inserted', ({INSERTED} - 1)::text, true) is not null"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """What every write needs."""

    catalog: Catalog
    table: Table
    query: Query
    level: Level
    preferences: Preferences
    media: Media


def insert(write: Write, rows: Rows) -> Statement:
    """`POST /table`."""
    parameters = Parameters()
    table, query, preferences = write.table, write.query, write.preferences
    columns = _known(table, rows.columns)
    source = _payload(parameters, table, columns, rows, defaults=preferences.given.get("missing") == "default")
    target = f"{qualified(table.name)} ({listed(columns)})" if columns else qualified(table.name)
    resolution = preferences.given.get("resolution")
    conflict = query.on_conflict or table.key
    clause = ""
    if resolution and conflict:
        for name in conflict:
            if name not in table.columns:
                raise refusal(400, "42703", f'column "{name}" does not exist')
        clause = f" on conflict ({listed(conflict)}) do nothing"
        if resolution == "merge-duplicates" and columns:
            source += f" where {COUNT_UP}"
            sets = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in columns)
            clause = f" on conflict ({listed(conflict)}) do update set {sets} where {COUNT_DOWN}"
    taken = ", ".join(f"_p.{quoted(name)}" for name in columns)
    change = f"insert into {target} select {taken} from {source}{clause}"
    merges = resolution == "merge-duplicates" and bool(clause) and bool(columns)
    return _answered(write, parameters, change, inserted=INSERTED if merges else "null", creates=True)


def update(write: Write, rows: Rows) -> Statement:
    """`PATCH /table?filters`. Nothing to set: nothing is touched."""
    parameters = Parameters()
    table = write.table
    columns = _known(table, rows.columns)
    where = _where(write, parameters)
    if not columns:
        nothing = f"select {_returned(write)} from {qualified(table.name)} where false"
        return _answered(write, Parameters(), nothing, returning=False)
    _guard("UPDATE", where)
    defaults = write.preferences.given.get("missing") == "default"
    source = _payload(parameters, table, columns, rows, defaults=defaults)
    sets = ", ".join(f"{quoted(name)} = _b.{quoted(name)}" for name in columns)
    taken = ", ".join(f"_p.{quoted(name)}" for name in columns)
    change = f"update {qualified(table.name)} set {sets} from (select {taken} from {source} limit 1) as _b{where}"
    return _answered(write, parameters, change)


def delete(write: Write) -> Statement:
    """`DELETE /table?filters`."""
    parameters = Parameters()
    where = _where(write, parameters)
    _guard("DELETE", where)
    return _answered(write, parameters, f"delete from {qualified(write.table.name)}{where}")


def _guard(verb: str, where: str) -> None:
    """Hosted projects load pg_safeupdate for the API."""
    if not where:
        raise refusal(400, "21000", f"{verb} requires a WHERE clause")


def _where(write: Write, parameters: Parameters) -> str:
    source = source_of(write.table)
    terms = [condition(parameters, source, each, {}) for each in conditions_of_root(write.query)]
    return f" where {' and '.join(terms)}" if terms else ""


def _known(table: Table, columns: Sequence[str]) -> Sequence[str]:
    """PGRST204 for a column that the table lacks."""
    for name in columns:
        if name not in table.columns:
            message = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise refusal(400, "PGRST204", message)
    return columns


def _payload(parameters: Parameters, table: Table, columns: Sequence[str], rows: Rows, *, defaults: bool) -> str:
    """The rows as a table `_p`: typed as their columns are, with defaults for what is missing if wanted."""
    if not columns and not rows.many:
        return "(values (1)) as _p"
    body = parameters.add(rows.text)
    if not columns:
        return f"json_array_elements({body}::json) as _p"
    typed = ", ".join(f"{quoted(name)} {table.columns[name].type}" for name in columns)
    filled = [name for name in columns if table.columns[name].default] if defaults else []
    if not filled:
        function = "json_to_recordset" if rows.many else "json_to_record"
        return f"{function}({body}::json) as _p ({typed})"
    pairs = ", ".join(f"{parameters.add(name)}::text, {table.columns[name].default}" for name in filled)
    if not rows.many:
        return f"jsonb_to_record(jsonb_build_object({pairs}) || {body}::jsonb) as _p ({typed})"
    element = "jsonb_array_elements(" + body + "::jsonb) as _r"
    merged = f"(select jsonb_agg(jsonb_build_object({pairs}) || _r.value) from {element})"
    return f"jsonb_to_recordset({merged}) as _p ({typed})"


def _returned(write: Write) -> str:
    """Columns the representation needs: `1` where nothing is shown, for they would need the right to select them."""
    table, how = write.table, write.preferences.given.get("return")
    if how not in {"representation", "headers-only"}:
        return "1"
    if how == "headers-only":
        return ", ".join(f"{quoted(table.name)}.{quoted(name)}" for name in table.key) or "1"
    names: dict[str, None] = {}
    for each in write.level.columns:
        if each.field.name == "*":
            return f"{quoted(table.name)}.*"
        if each.field.name not in table.columns and each.field.name not in table.computed:
            raise unknown_column(table.name, each.field.name)
        names[each.field.name] = None
    for below in write.level.embeds:
        if below.embed:
            embed = below.embed
            relation = find_relation(table.name, table.relations, embed.name, embed.hint, write.catalog.tables)
            names |= dict.fromkeys(ours for ours, _ in relation.pairs)
    return ", ".join(f"{quoted(table.name)}.{quoted(name)}" for name in names) or "1"


def _answered(
    write: Write,
    parameters: Parameters,
    change: str,
    *,
    returning: bool = True,
    inserted: str = "null",
    creates: bool = False,
) -> Statement:
    """The change as a common table expression, and the answer read from it."""
    text = f"{change} returning {_returned(write)}" if returning else change
    before, origin = f"with _w as ({text}) ", f"_w as {quoted(write.table.name)}"
    if not write.preferences.returning:
        keys = creates and write.preferences.given.get("return") == "headers-only" and write.table.key
        media = Media(kind="json") if keys else None
        return Statement(answering("select * from _w", media, before=before, inserted=inserted), parameters.values)
    reader = Reader(catalog=write.catalog, parameters=parameters, capped=False)
    rows = reader.level(write.level, source_of(write.table), origin)
    text = answering(rows, write.media, before=before, inserted=inserted)
    return Statement(text, reader.parameters.values)
