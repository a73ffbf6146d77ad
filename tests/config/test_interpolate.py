"""`${…}`: every form, every fault, and that a value never becomes more than a value."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.interpolate import interpolate
from agent.errors import ConfigError
from tests.support.config_texts import FakeLookup

LOOKUP = FakeLookup(
    {"A": "alpha", "EMPTY": "", "TRICKY": "${A} $$ ${nope", "NUL": "a\0b", "BYTES": "\udcff"},
    keyring={"pw": "from keyring"},
    files={"/run/x": "from file"},
)


def filled(text: str) -> str:
    return interpolate(text, LOOKUP)[0]


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        interpolate(text, LOOKUP)
    return "\n".join(problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "alpha"),
        ("x${A}y${A}z", "xalphayalphaz"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NOPE:-}", ""),
        ("${NOPE:-a b:-c}", "a b:-c"),
        ("${A:-d}", "alpha"),
        ("${keyring:pw}", "from keyring"),
        ("${file:/run/x}", "from file"),
        ("$${A}", "${A}"),
        ("$$$$", "$$"),
        ("$A $ $1 a$", "$A $ $1 a$"),
    ],
)
def test_every_form_is_filled_in(text, value):
    assert filled(text) == value


def test_what_was_filled_in_is_not_read_again():
    assert filled("${TRICKY}") == "${A} $$ ${nope"


def test_pieces_say_where_values_came_from():
    _, pieces = interpolate("${A} ${keyring:pw} ${file:/run/x} ${NOPE:-d} $$", LOOKUP)
    assert [(piece.source, piece.name, piece.value) for piece in pieces] == [
        ("env", "A", "alpha"),
        ("keyring", "pw", "from keyring"),
        ("file", "/run/x", "from file"),
    ]


def test_a_missing_variable_is_named_with_the_places_to_set_it():
    message = fault("${NOPE}")
    assert "${NOPE} is not set" in message
    assert "env_file" in message


def test_all_faults_of_a_text_are_told():
    message = fault("${NOPE} ${keyring:x} ${vault:y} ${")
    assert "NOPE" in message
    assert "x is not there" in message
    assert "`${vault:y}` is none of" in message
    assert "never closed" in message


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A B}", "${A:?msg}", "${A-d}", "${keyring:}", "${file:}"])
def test_other_forms_are_refused_rather_than_passed_on(text):
    assert "is none of" in fault(text)


def test_values_that_no_program_can_be_given_are_refused():
    assert "NUL" in fault("${NUL}")
    assert "not UTF-8" in fault("${BYTES}")


@given(st.text())
def test_escaped_text_comes_out_as_it_went_in(text):
    assert filled(text.replace("$", "$$")) == text


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_a_dollar_is_left_alone(text):
    assert interpolate(text, LOOKUP) == (text, [])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_value_arrives_as_it_is(value):
    assert interpolate("<${V}>", FakeLookup({"V": value}))[0] == f"<{value}>"


@given(st.text(alphabet="${}:-A keyringfl", max_size=30))
def test_no_text_breaks_it(text):
    with suppress(ConfigError):
        assert isinstance(filled(text), str)
