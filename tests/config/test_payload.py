"""Payloads: schemas that are refused, payloads that do not fit, and payloads that want to keep us busy."""

from __future__ import annotations

import time
import warnings

import pytest

from agent.config.payload import MAX_BYTES, payload_fault, schema_faults

WIDTH = {"type": "object", "properties": {"width": {"type": "integer", "minimum": 1}}, "required": ["width"]}

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _node(kind: str) -> dict:
    return {"properties": {"kind": {"const": kind}, "child": {"$ref": "#/$defs/node"}}, "required": ["kind"]}


TREE = {"$defs": {"node": {"oneOf": [_node("file"), _node("dir")]}}, "$ref": "#/$defs/node"}
"""As anybody would write it. Both alternatives look into the child: twice the work with each level."""


def nested(node: dict, levels: int) -> dict:
    for _ in range(levels):
        node = {"kind": "dir", "child": node}
    return node


@pytest.mark.parametrize(
    "schema",
    [
        {},
        WIDTH,
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
        {"$id": "https://example.com/x", "$defs": {"a": {"$anchor": "a"}}, "$ref": "#a"},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
        {"pattern": "^[a-z]+$"},
    ],
)
def test_sound_schemas_are_accepted(schema):
    assert schema_faults(schema) == []


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ({"type": "objct"}, ("type",), "is not valid JSON Schema"),
        ({"properties": {"x": {"minimum": "1"}}}, ("properties", "x", "minimum"), "is not valid JSON Schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",), "2020-12"),
        ({"$ref": "https://example.com/schema.json"}, ("$ref",), "nothing is fetched"),
        ({"items": {"$ref": "file:///etc/passwd"}}, ("items", "$ref"), "nothing is fetched"),
        ({"allOf": [{"$dynamicRef": "other.json"}]}, ("allOf", 0, "$dynamicRef"), "nothing is fetched"),
        ({"$ref": "#/$defs/nope"}, ("$ref",), "refers to #/$defs/nope"),
        ({"patternProperties": {"^a": {}}}, ("patternProperties",), "not supported"),
        ({"pattern": "(?=a)b"}, ("pattern",), "linear time"),
        ({"pattern": "(a{1000}){1000}"}, ("pattern",), "linear time"),
        ({"unevaluatedItems": False}, ("unevaluatedItems",), "quadratic"),
        ({"$defs": {"a": {"$schema": f"{DIALECT}"}}}, ("$defs", "a", "$schema"), "at the top"),
    ],
)
def test_other_schemas_are_refused_with_the_place(schema, path, message):
    faults = schema_faults(schema)
    assert [where for where, _ in faults] == [path]
    assert message in faults[0][1]


@pytest.mark.parametrize(
    ("schema", "payload", "fault"),
    [
        (WIDTH, {"width": 3}, None),
        (WIDTH, {"width": 0}, "payload.width: 0 is less than the minimum of 1"),
        (WIDTH, {}, "payload: 'width' is a required property"),
        (WIDTH, None, "payload: None is not of type 'object'"),
        ({"items": {"type": "string"}}, ["a", 1], "payload[1]: 1 is not of type 'string'"),
        ({"pattern": "^a+$"}, "aaa", None),
        ({"pattern": "b"}, "abc", None),
        ({"pattern": "^a+$"}, "b", "payload: 'b' does not match '^a+$'"),
        ({"pattern": "^a+$"}, 5, None),
        ({"pattern": "^a+$"}, "\ud800", "payload: '\\ud800' does not match '^a+$'"),
        (
            {"uniqueItems": True},
            [{"a": [1.0]}, {"a": [1]}],
            "payload: [{'a': [1.0]}, {'a': [1]}] has non-unique elements",
        ),
        ({"uniqueItems": True}, [1, True, "1", None], None),
        ({"uniqueItems": False}, [1, 1], None),
        ({"uniqueItems": True}, "x", None),
        ({}, float("nan"), "payload: is not JSON"),
        ({}, {1, 2}, "payload: is not JSON"),
    ],
)
def test_a_payload_fits_or_one_sentence_says_where_it_does_not(schema, payload, fault):
    assert payload_fault(schema, payload) == fault


def test_a_large_payload_is_refused_before_it_is_looked_at():
    assert "262,147 bytes are more than the 256 KiB" in payload_fault({}, "x" * (MAX_BYTES + 1))
    assert payload_fault({}, "x" * (MAX_BYTES - 2)) is None


def test_the_sentence_stays_short():
    assert len(payload_fault({"maxLength": 1}, "x" * 100_000)) < 250


def test_nesting_and_endless_schemas_are_refused():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in payload_fault({}, deep)
    assert "nested too deeply" in payload_fault({"$ref": "#"}, 1)


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 100_000 + "!"),
        ({"propertyNames": {"pattern": "^(a|a)*$"}}, {"a" * 100_000 + "!": 1}),
        ({"uniqueItems": True}, [{"a": number} if number % 2 else number for number in range(20_000)]),
        ({"items": {"type": "string"}}, list(range(40_000))),
        ({"$schema": DIALECT, "pattern": "^(a+)+$", "items": {"$ref": "#"}}, ["a" * 40 + "!"]),
    ],
)
@pytest.mark.timeout(90)
def test_a_hostile_payload_is_judged_soon(schema, payload):
    begun = time.thread_time()  # of the processor: a busy machine is not our doing
    payload_fault(schema, payload)
    assert time.thread_time() - begun < 5


@pytest.mark.timeout(90)
def test_a_tree_that_branches_for_ever_is_given_up():
    assert "takes too long" in payload_fault(TREE, nested({"kind": "dir"}, 40))


@pytest.mark.timeout(90)
def test_a_tree_of_an_honest_size_fits_its_schema():
    assert payload_fault(TREE, nested({"kind": "dir"}, 10)) is None
    forest = {"$defs": TREE["$defs"], "items": {"$ref": "#/$defs/node"}}
    assert payload_fault(forest, [{"kind": "dir"}] * 15_000) is None


def test_nothing_is_ever_fetched(tmp_path):
    anything = tmp_path / "schema.json"
    anything.write_text("{}")
    for elsewhere in (anything.as_uri(), "http://127.0.0.1:9/schema.json", "#/$defs/nope"):
        warnings.simplefilter("ignore")  # jsonschema warns where it fetches
        assert "cannot be checked" in payload_fault({"$ref": elsewhere}, 1)
