"""Durations and sizes: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.units import NotThisUnit, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("500ms", 0.5),
        ("1w", 604_800),
        ("1.5h", 5400),
        ("0s", 0),
        ("1m500ms", 60.5),
    ],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "attempt"),
    [
        ("15 minuts", "15m"),
        ("30", "30s"),
        ("0", "0s"),
        ("10 Seconds", "10s"),
        ("20 millis", "20ms"),
        ("3 months", None),
        ("1 year", None),
        ("5 parsecs", None),
        ("soon", None),
        ("", None),
        ("-5m", None),
        ("1m1h", None),
        ("1m1m", None),
        ("1h 30m", None),
        ("٣m", None),
        ("1" * 50 + "s", None),
    ],
)
def test_what_is_no_duration_comes_with_a_guess(text, attempt):
    with pytest.raises(NotThisUnit) as caught:
        parse_duration(text)
    assert caught.value.attempt == attempt


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_written_is_read_back_to_the_millisecond(milliseconds):
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text(max_size=60))
def test_any_text_is_a_duration_or_refused(text):
    with suppress(NotThisUnit):
        assert parse_duration(text) >= 0


@given(st.from_regex(r"[0-9]{1,5} ?[a-z]{0,8}", fullmatch=True))
def test_a_guess_is_a_duration_itself(text):
    guess = None
    try:
        parse_duration(text)
    except NotThisUnit as err:
        guess = err.attempt
    assert guess is None or parse_duration(guess) >= 0


@pytest.mark.parametrize(
    ("text", "count"),
    [("64KiB", 65_536), ("1MiB", 1_048_576), ("64KB", 64_000), ("500B", 500), ("1.5 KiB", 1536), ("1gib", 1024**3)],
)
def test_sizes_are_read(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "attempt"),
    [
        ("64k", "64KiB"),
        ("64", "64KiB"),
        ("65536", "65536B"),
        ("2 megs", "2MiB"),
        ("5 x", None),
        ("x", None),
        ("", None),
    ],
)
def test_what_is_no_size_comes_with_a_guess(text, attempt):
    with pytest.raises(NotThisUnit) as caught:
        parse_size(text)
    assert caught.value.attempt == attempt


@given(st.integers(min_value=0, max_value=2**40))
def test_a_size_written_is_read_back(count):
    assert parse_size(format_size(count)) == count
