"""Live output of one run: what is taken is text, redacted, in order, and never more than agreed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.tap import BUFFER_BYTES, CAP_BYTES, MAX_CHUNKS, MORE_FOLLOWS, Tap
from agent.run.output import Capture
from agent.run.redact import Redactor

SECRET = "hunter22"
BUDGET = 64 * 1024


def a_tap(*secrets: str) -> Tap:
    return Tap(Redactor(secrets), lambda: None)


def all_of(tap: Tap, stream: str = "stdout") -> str:
    """Close it and take everything."""
    tap.close()
    pieces = []
    while not tap.done:
        pieces += tap.take(BUDGET)
    return "".join(text for name, text in [*pieces, *tap.take(1)] if name == stream)


def test_colours_and_order_are_kept_and_the_streams_apart() -> None:
    tap = a_tap()
    tap.feed("stdout", b"\x1b[32mone\x1b[0m\n")
    tap.feed("stderr", b"two\n")
    tap.feed("stdout", b"three\n")
    assert tap.take(BUDGET) == [("stdout", "\x1b[32mone\x1b[0m\n"), ("stderr", "two\n"), ("stdout", "three\n")]
    assert not tap.ready
    tap.close()
    assert tap.ready
    assert tap.take(BUDGET) == []
    assert tap.done


PARTS = st.sampled_from([b"hun", b"ter22", b"\xc3", b"\xa9", b"\0", b"\xff", b"a\n"])


@given(st.lists(st.tuples(PARTS, st.booleans()), max_size=12))
def test_whatever_the_borders_it_is_what_the_report_will_say(chunks: list[tuple[bytes, bool]]) -> None:
    """So somebody who has followed knows which part of the stored output is left to show."""
    tap, capture, shown = a_tap(SECRET), Capture(65536, Redactor([SECRET])), []
    for data, look in chunks:
        tap.feed("stdout", data)
        capture.feed("stdout", data)
        if look:
            shown += [text for _, text in tap.take(BUDGET)]
    text = "".join(shown) + all_of(tap)
    assert text == capture.output("stdout").text
    assert "\0" not in text
    assert SECRET not in text


def test_a_character_and_a_secret_that_borders_go_through_come_whole() -> None:
    tap = a_tap(SECRET)
    tap.feed("stdout", "é".encode()[:1])
    assert tap.take(BUDGET) == []
    tap.feed("stdout", "é".encode()[1:] + b" hunt")
    assert tap.take(BUDGET) == [("stdout", "é ")]
    tap.feed("stderr", b"between\n")
    tap.feed("stdout", b"er22!\n")
    assert tap.take(BUDGET) == [("stderr", "between\n"), ("stdout", "***!\n")]


def test_nobody_takes_it_so_the_oldest_is_dropped_and_counted() -> None:
    tap = a_tap()
    tap.feed("stdout", b"first\n" + b"x" * BUFFER_BYTES)
    tap.feed("stdout", b"last\n")
    text = all_of(tap)
    assert text.startswith("… 11 bytes left out …\nxxx")
    assert text.endswith("xlast\n")
    assert len(text.encode()) < BUFFER_BYTES + 100


def test_a_stream_of_which_nothing_is_left_says_so() -> None:
    tap = a_tap()
    tap.feed("stderr", b"gone")
    tap.feed("stdout", b"x" * BUFFER_BYTES)
    tap.close()
    pieces = tap.take(1 << 20)
    assert ("stderr", "… 4 bytes left out …\n") in pieces


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_no_part_of_a_secret_shows_beside_a_gap(cut: int) -> None:
    tap = a_tap(SECRET)
    tap.feed("stdout", b"before " + SECRET[:cut].encode())
    shown = "".join(text for _, text in tap.take(BUDGET))
    rest = SECRET[cut:].encode()
    tap.feed("stdout", b"z" * 1000)
    tap.feed("stdout", rest + b"y" * (BUFFER_BYTES - len(rest)))
    text = shown + all_of(tap)
    assert text.startswith("before \n… ")
    assert rest.decode() + "y" not in text
    assert SECRET[:cut] + "\n" not in text


def test_a_flood_is_shown_up_to_a_cap_and_its_end_with_the_end() -> None:
    tap = a_tap()
    shown = ""
    for number in range(3 * CAP_BYTES // BUDGET):
        tap.feed("stdout", f"{number:08}".encode() * (BUDGET // 8))
        shown += "".join(text for _, text in tap.take(BUDGET))
    assert shown.endswith("\n" + MORE_FOLLOWS)
    assert len(shown.encode()) < CAP_BYTES + 200
    assert not tap.ready
    tap.feed("stdout", b"the end\n")
    assert tap.take(BUDGET) == []
    rest = all_of(tap)
    assert rest.startswith("… ")
    assert rest.endswith("the end\n")
    assert len(rest.encode()) < BUFFER_BYTES + 200


def test_streams_that_alternate_all_the_time_are_put_together() -> None:
    """Else a thousand rows were needed for a second of it."""
    tap = a_tap()
    for number in range(MAX_CHUNKS * 3):
        tap.feed("stdout" if number % 2 else "stderr", f"{number}\n".encode())
    pieces = tap.take(BUDGET)
    assert len(pieces) <= MAX_CHUNKS
    said = "".join(text for stream, text in pieces if stream == "stdout").split()
    assert said == [str(number) for number in range(1, MAX_CHUNKS * 3, 2)]
