"""Reading `postgres_changes` entries: what is meant, and what the client is told when nothing is."""

from __future__ import annotations

from typing import Any

import pytest

from agent.localstack.realtime.bindings import BindingError, Filter, binding_id, inspect, parse_binding

TABLE = {"schema": "public", "table": "t"}


def filters(text: str) -> list[tuple[str, str, str, bool]]:
    found = parse_binding({**TABLE, "filter": text}).filters
    return [(each.column, each.op, each.value, each.negate) for each in found]


@pytest.mark.parametrize(
    ("params", "event", "schema", "table"),
    [
        ({**TABLE, "event": "*"}, "*", "public", "t"),
        ({**TABLE, "event": "insert"}, "INSERT", "public", "t"),
        ({**TABLE, "event": "TRUNCATE"}, "*", "public", "t"),
        ({**TABLE, "event": 5}, "*", "public", "t"),
        ({"schema": "s"}, "*", "s", "*"),
        ({"table": "t"}, "*", "public", "t"),
        ({"schema": "*", "table": "*"}, "*", "*", "*"),
    ],
)
def test_event_schema_and_table_have_the_genuine_defaults(params: Any, event: str, schema: str, table: str) -> None:
    binding = parse_binding(params)
    assert (binding.event, binding.schema, binding.table) == (event, schema, table)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("a=eq.1", [("a", "eq", "1", False)]),
        ("a=eq.1.5", [("a", "eq", "1.5", False)]),
        ("a=eq.", [("a", "eq", "", False)]),
        ("a=eq.b=c", [("a", "eq", "b=c", False)]),
        ("a=not.lt.3", [("a", "lt", "3", True)]),
        ("a=in.(1,2)", [("a", "in", "{1,2}", False)]),
        ('a=in.("x,y",z), b=gt.1', [("a", "in", '{"x,y",z}', False), ("b", "gt", "1", False)]),
        ('a=eq."x,y",b=eq.z', [("a", "eq", "x,y", False), ("b", "eq", "z", False)]),
        (r'a=eq."q\"u\\o"', [("a", "eq", 'q"u\\o', False)]),
        ('a=eq."open', [("a", "eq", '"open', False)]),
        ('a=eq."shut"more', [("a", "eq", '"shut"more', False)]),
        ('a=eq.in"side', [("a", "eq", 'in"side', False)]),
        ("a=eq.f(1,2)", [("a", "eq", "f(1,2)", False)]),
        ("a=eq.),b=eq.2", [("a", "eq", ")", False), ("b", "eq", "2", False)]),
    ],
)
def test_filters_are_cut_where_the_genuine_server_cuts_them(text: str, expected: Any) -> None:
    assert filters(text) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({**TABLE, "filter": "a=foo.1"}, 'Error parsing `filter` params: ["foo", "1"]'),
        ({**TABLE, "filter": "undefined"}, 'Error parsing `filter` params: ["undefined"]'),
        ({**TABLE, "filter": "a=eq"}, 'Error parsing `filter` params: ["eq"]'),
        (
            {**TABLE, "filter": "a=in.1,2"},
            "Error parsing `filter` params: `in` filter value must be wrapped by parentheses",
        ),
        (
            {**TABLE, "filter": "a=eq.1,,b=eq.2"},
            "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)",
        ),
        (
            {**TABLE, "filter": "a=match." + "x" * 1001},
            "Error parsing `filter` params: not implemented by the local stack: a pattern of more than 1000 characters",
        ),
        (
            {"event": "*", "filter": None},
            (
                "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
                '%{"event" => "*", "filter" => nil}'
            ),
        ),
        (
            {"schema": 1},
            (
                "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
                '%{"schema" => 1}'
            ),
        ),
        (
            {**TABLE, "select": "a"},
            'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]',
        ),
        (
            {"schema": "public", "select": ["a"]},
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.",
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_the_genuine_words(params: Any, message: str) -> None:
    with pytest.raises(BindingError) as refused:
        parse_binding(params)
    assert str(refused.value) == message


def test_selected_columns_are_those_that_are_texts() -> None:
    assert parse_binding({**TABLE, "select": ["a", 1, "b"]}).select == ("a", "b")
    assert parse_binding({**TABLE, "select": []}).select is None


def test_a_binding_takes_its_event_or_every_event() -> None:
    assert parse_binding({**TABLE, "event": "INSERT"}).takes("INSERT")
    assert not parse_binding({**TABLE, "event": "INSERT"}).takes("DELETE")
    assert parse_binding(TABLE).takes("DELETE")


def test_the_id_depends_on_what_is_asked_and_not_on_the_order_of_keys() -> None:
    assert binding_id({"a": 1, "b": 2}) == binding_id({"b": 2, "a": 1})
    assert binding_id({"a": 1}) != binding_id({"a": 2})
    assert binding_id({}) > 0


def test_a_binding_is_described_as_the_genuine_server_logs_it() -> None:
    binding = parse_binding({**TABLE, "filter": "a=not.eq.1", "select": ["a"]})
    assert str(binding) == ('event: *, schema: public, table: t, filters: [{"a", "eq", "1", true}], select: ["a"]')
    assert Filter(column="a", op="eq", value="1").as_json() == {
        "column": "a",
        "op": "eq",
        "value": "1",
        "negate": False,
    }


def test_values_are_printed_as_elixir_prints_them() -> None:
    assert inspect({"b": [True, None, 1.5], "a": "x"}) == '%{"a" => "x", "b" => [true, nil, 1.5]}'
    assert str(Filter(column='a"b', op="eq", value="x\ny")) == '{"a\\"b", "eq", "x\\ny", false}'
