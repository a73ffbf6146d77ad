"""The list itself, and the judgement: an expectation that is not met must be seen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.conformance.asked import check_versions
from tests.conformance.listed import CLIENTS, Scenario, plan, read
from tests.conformance.verdict import faults, matches
from tests.conformance.words import filled


def test_the_list_is_long_and_both_clients_go_through_nearly_all_of_it() -> None:
    scenarios = read()
    assert len(scenarios) >= 150
    assert len([each for each in scenarios if each.clients_only == list(CLIENTS)]) >= len(scenarios) - 5


def test_every_step_says_what_has_to_come_of_it_somewhere() -> None:
    silent = [each.name for each in read() if not any(step.expected for step in each.steps)]
    assert silent == []


def test_a_runner_is_not_told_what_has_to_come() -> None:
    scenario = Scenario.model_validate(
        {"area": "a", "rule": "r", "call": [{"from": "t"}], "data": [], "only": {"js": {"data": [1]}}}
    )
    (told,) = plan([scenario], "js")
    assert told["steps"][0].keys().isdisjoint({"expected", "only", "data"})


@pytest.mark.parametrize(
    ("step", "got", "said"),
    [
        ({"data": [1]}, {"data": [1, 2], "error": None}, "data: expected [1], got [1, 2]"),
        ({"data": {"a": 1}}, {"data": {"a": 1, "b": 2}}, "data: expected"),
        ({"status": 200}, {"status": 201}, "status: expected 200, got 201"),
        ({"count": 3}, {"count": None}, "count: expected 3, got null"),
        ({"data": None}, {"data": None, "error": {"code": "x"}, "status": 500}, "failed"),
        ({"error": {"code": "A"}}, {"error": {"code": "B"}}, "error: expected"),
        ({"error": {"code": "A"}}, {"error": None}, "error: expected"),
        ({"headers": {"x": "~^a"}}, {"headers": {"x": "ba"}}, "headers: expected"),
        ({"like": [{"n": 1}]}, {"data": [{"n": 1}, {"n": 2}]}, "like: expected"),
    ],
)
def test_a_difference_is_told(step: dict[str, Any], got: dict[str, Any], said: str) -> None:
    scenario = Scenario.model_validate({"area": "a", "rule": "r", "call": [{"from": "t"}], **step})
    (fault,) = faults(scenario, "python", {"steps": [got], "saved": {}, "broken": None})
    assert said in fault


def test_a_step_that_could_not_be_done_is_told() -> None:
    scenario = Scenario.model_validate({"area": "a", "rule": "r", "call": [{"from": "t"}], "data": []})
    assert faults(scenario, "js", {"steps": [], "saved": {}, "broken": "TypeError: x"}) == [
        "step 1 could not be done: TypeError: x"
    ]


@pytest.mark.parametrize(
    ("wanted", "have", "so"),
    [
        ("<any>", 0, True),
        ("<any>", None, False),
        ("<none>", None, True),
        ("<none>", "", False),
        ("~b$", "ab", True),
        ("~b$", None, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": 1}, None, False),
        ([1, 2], [1], False),
        (True, 1, False),
        (1, True, False),
        (12.5, 12.5, True),
    ],
)
def test_likeness(wanted: Any, have: Any, so: bool) -> None:
    assert matches(wanted, have) is so


def test_places_are_filled_with_what_was_saved() -> None:
    saved = {"u": "x1", "ann": {"id": "7"}, "rows": [{"n": 3}]}
    assert filled({"${u}": ["a-${u}", "${rows.0.n}", "${ann.id}", "${ann.gone}"]}, saved) == {
        "x1": ["a-x1", 3, "7", None]
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "no verb", "data": []},
        {"rule": "two verbs", "call": [], "auth": "getUser"},
        {"rule": "a misspelt expectation", "call": [], "dta": []},
        {"rule": "an unknown key", "clients": {"c": "golden"}, "call": []},
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate({"area": "a", **wrong})


@pytest.mark.parametrize(("client", "node"), [("2.118.0", "v24.1.0"), ("2.119.1", "v20.20.2")])
def test_an_older_client_or_node_proves_nothing(client: str, node: str) -> None:
    with pytest.raises(RuntimeError, match="was meant"):
        check_versions(client, node)


def test_the_clients_that_were_meant_are_enough() -> None:
    check_versions("2.119.1", "v22.0.0")
