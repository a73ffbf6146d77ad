"""SQL for parsed requests. Identifiers are those of the catalog, quoted; values are parameters; nothing else gets in.

Every statement returns one row `(body, rows)`: JSON made by Postgres, so that types look as PostgREST's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from agent.localstack.catalog import Function, Table
from agent.localstack.query import Filter, Order, Query
from agent.localstack.refusal import Refusal
from agent.model.value import Json

MAX_ROWS = 1000
"""Hosted projects' `max_rows`: it caps reads and functions, silently."""
OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
IS = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
ROWS = sql.SQL("coalesce(json_agg(_t), '[]')::text, count(*)")


@dataclass(frozen=True)
class Statement:
    """Composed SQL and its parameters."""

    text: sql.Composed
    values: list[Json]


def select(table: Table, query: Query) -> Statement:
    """`GET /table`."""
    where, values = _where(table, query.filters)
    limit = MAX_ROWS if query.limit is None else min(query.limit, MAX_ROWS)
    text = sql.SQL("select {rows} from (select {columns} from {table}{where}{order} limit %s offset %s) _t").format(
        rows=ROWS,
        columns=_columns(table, query.select),
        table=_qualified(table.name),
        where=where,
        order=_order(table, query.order),
    )
    return Statement(text, [*values, limit, query.offset])


def insert(table: Table, query: Query, columns: Sequence[str], rows: str, *, returning: bool) -> Statement:
    """`POST /table`: `rows` is a JSON array of objects, of which `columns` are taken."""
    source = _record(table, columns, sql.SQL("json_to_recordset(%s::json)"))
    names = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    target = sql.SQL("{} ({})").format(_qualified(table.name), names) if columns else _qualified(table.name)
    text = sql.SQL("with _w as (insert into {} select {} from {} returning {}) select {} from _w _t").format(
        target, names, source, _returned(table, query, returning=returning), ROWS
    )
    return Statement(text, [rows])


def update(table: Table, query: Query, columns: Sequence[str], row: str, *, returning: bool) -> Statement:
    """`PATCH /table?filters`: `row` is a JSON object, of which `columns` are set. None to set: nothing is touched."""
    where, values = _where(table, query.filters)
    if not columns:
        return Statement(sql.SQL("select '[]', 0").format(), [])
    names = [sql.Identifier(name) for name in columns]
    sets = [sql.SQL("{0} = (select {0} from _body)").format(name) for name in names]
    text = sql.SQL(
        "with _body as (select {names} from {source}), "
        "_w as (update {table} set {sets}{where} returning {columns}) select {rows} from _w _t"
    ).format(
        names=sql.SQL(", ").join(names),
        source=_record(table, columns, sql.SQL("json_to_record(%s::json)")),
        table=_qualified(table.name),
        sets=sql.SQL(", ").join(sets),
        where=where,
        columns=_returned(table, query, returning=returning),
        rows=ROWS,
    )
    return Statement(text, [row, *values])


def _returned(table: Table, query: Query, *, returning: bool) -> sql.Composable:
    """`1` without `return=representation`: columns would need the right to select them."""
    return _columns(table, query.select) if returning else sql.SQL("1")


def call(function: Function, names: Sequence[str], arguments: str) -> Statement:
    """`POST /rpc/function`: `arguments` is a JSON object, of which `names` are passed."""
    qualified = sql.Identifier("public", function.name)
    given = sql.SQL(", ").join(sql.SQL("{0} := _a.{0}").format(sql.Identifier(name)) for name in names)
    invoked = sql.SQL("{}({})").format(qualified, given)
    values: list[Json] = []
    source: sql.Composable = sql.SQL("")
    if names:
        types = [_typed(name, function.inputs[name]) for name in names]
        source = sql.SQL("json_to_record(%s::json) as _a ({}), ").format(sql.SQL(", ").join(types))
        values = [arguments]
    rows = sql.SQL("from {source}lateral {invoked} _f").format(source=source, invoked=invoked)
    if function.returns_void:
        return Statement(sql.SQL("select 'null', count(*) {}").format(rows), values)
    one = sql.SQL("_f") if function.returns_row else sql.SQL("_f.value")
    rows = rows if function.returns_row else sql.SQL("{} (value)").format(rows)
    if not function.returns_set:
        return Statement(sql.SQL("select coalesce(to_json({})::text, 'null'), 1 {}").format(one, rows), values)
    text = sql.SQL("select coalesce(json_agg(_t.one), '[]')::text, count(*) from (select {} as one {} limit %s) _t")
    return Statement(text.format(one, rows), [*values, MAX_ROWS])


def _qualified(name: str) -> sql.Identifier:
    return sql.Identifier("public", name)


def _known(table: Table, name: str) -> sql.Identifier:
    """A column of the catalog, quoted; else Postgres' own complaint."""
    if name not in table.columns:
        message = f"column {table.name}.{name} does not exist"
        raise Refusal(400, {"code": "42703", "details": None, "hint": None, "message": message})
    return sql.Identifier("public", table.name, name)


def _columns(table: Table, names: Sequence[str] | None) -> sql.Composable:
    if names is None:
        return sql.SQL("{}.*").format(_qualified(table.name))
    return sql.SQL(", ").join(_known(table, name) for name in names)


def _record(table: Table, columns: Sequence[str], function: sql.SQL) -> sql.Composed:
    """`json_to_record…(…) as _(column type, …)`; PGRST204 for a column that the table lacks."""
    for name in columns:
        if name not in table.columns:
            message = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise Refusal(400, {"code": "PGRST204", "details": None, "hint": None, "message": message})
    if not columns:
        return sql.SQL("json_array_elements(%s::json) _").format()
    types = [_typed(name, table.columns[name]) for name in columns]
    return sql.SQL("{} as _ ({})").format(function, sql.SQL(", ").join(types))


def _typed(name: str, kind: str) -> sql.Composed:
    """`"name" type`; the type is Postgres' own spelling from the catalog, never a caller's word."""
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))


def _where(table: Table, filters: Sequence[Filter]) -> tuple[sql.Composable, list[Json]]:
    if not filters:
        return sql.SQL(""), []
    values: list[Json] = []
    terms: list[sql.Composable] = []
    for each in filters:
        column = _known(table, each.column)
        if each.operator == "is":
            term = sql.SQL("{} is {}").format(column, sql.SQL(IS[each.value]))
        elif each.operator == "in":
            term = sql.SQL("{} = any(%s)").format(column)
            values.append(_array(each.values))
        else:
            term = sql.SQL("{} {} %s").format(column, sql.SQL(OPERATORS[each.operator]))
            values.append(each.value)
        terms.append(sql.SQL("not ({})").format(term) if each.negated else term)
    return sql.SQL(" where ") + sql.SQL(" and ").join(terms), values


def _array(values: Sequence[str]) -> str:
    """An array literal of unknown type: Postgres takes the column's, as for a single value."""
    if values == ("",):
        return "{}"
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _order(table: Table, terms: Sequence[Order]) -> sql.Composable:
    if not terms:
        return sql.SQL("")
    ordered = []
    for each in terms:
        direction = sql.SQL(" desc" if each.descending else " asc")
        nulls = sql.SQL({"first": " nulls first", "last": " nulls last"}.get(each.nulls or "", ""))
        ordered.append(_known(table, each.column) + direction + nulls)
    return sql.SQL(" order by ") + sql.SQL(", ").join(ordered)
