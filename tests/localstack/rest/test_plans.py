"""A statement is made once for a shape; what a value is never decides anything but a parameter."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis.strategies import text

from agent.localstack.pgerrors import refusal
from agent.localstack.rest import plans
from agent.localstack.rest.parameters import Address
from agent.localstack.rest.plans import Plans, shape_of, whole
from agent.localstack.rest.wire import Statement
from tests.localstack.rest.conftest import Films


def test_values_of_comparisons_are_taken_out_and_nothing_else() -> None:
    fields = ["select=id", "id=eq.1", "a=not.gte.x.y", "or=(a.eq.1)", "id=in.(1)", "limit=1", "d-%3Ee=eq.a+b%2Bc"]
    shape = shape_of("&".join(fields))
    assert shape.values == ("1", "x.y", "a b+c")
    assert shape.key == ("select=id", "id=eq.", "a=not.gte.", *fields[3:6], "d-%3Ee=eq.")
    assert shape.pairs() == parse_qsl("&".join(fields))
    assert shape.with_values(("2", "y", "z"))[-1] == ("d->e", "eq.z")
    kept_whole = whole("&".join(fields))
    assert (kept_whole.values, kept_whole.pairs()) == ((), parse_qsl("&".join(fields)))


@pytest.mark.parametrize(
    "field",
    [
        *("select=eq.1", "order=eq.1", "a.limit=lt.1", "id=eq(any).{1}", "=eq.1", "eq.1"),
        *("%73elect=eq.1", "a%2Elimit=lt.1"),
    ],
)
def test_what_only_looks_like_a_comparison_stays_whole(field: str) -> None:
    assert shape_of(field).values == ()


@given(text(alphabet="ab=&.%+;2CeqE0\ufffd", max_size=40))
def test_a_query_string_is_read_as_everybody_reads_it(query_string: str) -> None:
    read = parse_qsl(query_string, keep_blank_values=True)
    assert shape_of(query_string).pairs() == whole(query_string).pairs() == read


@given(text(alphabet="ab=&.%+;2CeqE0sz", max_size=40))
def test_an_address_is_sorted_and_has_the_values_in_their_places(query_string: str) -> None:
    shape = shape_of(query_string)
    pairs = sorted(parse_qsl(query_string, keep_blank_values=True), key=lambda pair: pair[0])
    shown = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    address = Address("a table", shape.fields(), shape.places)
    assert address.filled(shape.values) == f"/a%20table{'?' if shown else ''}{shown}"


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
