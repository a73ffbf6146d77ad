"""A statement is made once for a shape; what a value is never decides anything but a parameter."""

from __future__ import annotations

import pytest

from agent.localstack.pgerrors import refusal
from agent.localstack.rest import plans
from agent.localstack.rest.plans import Plans, shape_of
from agent.localstack.rest.wire import Statement
from tests.localstack.rest.conftest import Films


def test_values_of_comparisons_are_taken_out_and_nothing_else() -> None:
    pairs = [
        ("select", "id"),
        ("id", "eq.1"),
        ("a", "not.gte.x.y"),
        ("or", "(a.eq.1)"),
        ("id", "in.(1)"),
        ("limit", "1"),
    ]
    shape = shape_of(pairs)
    assert shape.values == ("1", "x.y")
    assert shape.key == (pairs[0], ("id", "eq."), ("a", "not.gte."), *pairs[3:])
    assert shape.with_values(shape.values) == pairs


@pytest.mark.parametrize("pair", [("select", "eq.1"), ("order", "eq.1"), ("a.limit", "lt.1"), ("id", "eq(any).{1}")])
def test_what_only_looks_like_a_comparison_stays_whole(pair: tuple[str, str]) -> None:
    assert shape_of([pair]).values == ()


def test_a_plan_is_made_once_for_a_shape_and_anew_for_another_schema() -> None:
    kept: Plans[str] = Plans()
    asked: list[list[str]] = []

    def make(values: list[str]) -> tuple[Statement, str]:
        asked.append(list(values))
        return Statement("select $1, $2", ["fixed", values[0]]), "made"

    for schema in ("one", "one", "other"):
        for value in ("a", "b"):
            statement, made = kept.statement(("key",), [value], make, schema)  # type: ignore[arg-type]
            assert (statement.text, list(statement.values), made) == ("select $1, $2", ["fixed", value], "made")
    assert len(asked) == 2
    assert all("a" not in each and "b" not in each for each in asked)


def test_a_value_that_becomes_more_than_a_parameter_is_never_planned() -> None:
    kept: Plans[None] = Plans()
    for value in ("a", "b"):
        inside, _ = kept.statement((1,), [value], lambda given: (Statement("select $1", [f"%{given[0]}%"]), None), None)
        assert list(inside.values) == [f"%{value}%"]
        text, _ = kept.statement((2,), [value], lambda given: (Statement(f"select {len(given[0])}"), None), None)
        assert text.text == "select 1"


def test_an_error_is_about_the_true_values() -> None:
    def fails(values: object) -> tuple[Statement, None]:
        raise refusal(400, "X", f"{values}")

    with pytest.raises(Exception, match="true"):
        Plans[None]().statement((), ["true"], fails, None)


def test_plans_that_were_used_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_KEPT", 2)
    kept: Plans[int] = Plans()
    made = [0]

    def make(_: object) -> tuple[Statement, int]:
        made[0] += 1
        return Statement("select 1"), made[0]

    assert [kept.statement((key,), [], make, None)[1] for key in "abacab"] == [1, 2, 1, 3, 1, 4]


async def test_requests_of_one_shape_get_their_own_rows(films: Films) -> None:
    for number in (1, 2, 3, 2, 1):
        assert await films.ids(f"id=eq.{number}") == [number]
        assert await films.ids(f"id=gt.{number}&id=lte.4") == list(range(number + 1, 5))
        assert (await films.refused(f"id=eq.x{number}"))["message"].endswith(f'"x{number}"')
