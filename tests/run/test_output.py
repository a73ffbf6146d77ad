from __future__ import annotations

import os
import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.run.output import Capture
from agent.run.redact import Redactor

LIMIT = 1000
NOTE = re.compile(r"… ([\d,]+) bytes left out …\n")


def capture(*chunks: bytes, limit: int = LIMIT, secrets: tuple[str, ...] = ()) -> Capture:
    taken = Capture(limit, Redactor(secrets))
    for chunk in chunks:
        taken.feed("stdout", chunk)
    return taken


def left_out(text: str) -> int:
    (note,) = NOTE.findall(text)
    return int(note.replace(",", ""))


def test_short_output_is_kept_as_it_is():
    output = capture(b"one\n", b"two\n").output("stdout")
    assert (output.text, output.total_bytes, output.truncated) == ("one\ntwo\n", 8, False)


def test_a_stream_that_said_nothing_is_empty():
    output = capture().output("stderr")
    assert (output.text, output.total_bytes, output.truncated) == ("", 0, False)


def test_output_of_exactly_the_limit_is_whole():
    assert not capture(b"x" * LIMIT).output("stdout").truncated
    assert capture(b"x" * (LIMIT + 1)).output("stdout").truncated


def test_long_output_keeps_head_and_tail_and_says_how_much_is_missing():
    output = capture(b"first\n", b"x" * 9988, b"\nlast\n").output("stdout")
    head, tail = NOTE.sub("|", output.text).split("|")
    assert head.startswith("first\n")
    assert tail.endswith("\nlast\n")
    assert left_out(output.text) == 10_000 - LIMIT
    assert output.total_bytes == 10_000
    assert len(head.rstrip("\n").encode()) == len(tail.encode()) == LIMIT // 2


def test_nul_and_broken_utf8_become_replacement_characters():
    text = capture(b"a\0b\xffc\xed\xa0\x80d", "ü".encode()[:1]).output("stdout").text
    assert text == "a\ufffdb\ufffdc\ufffd\ufffd\ufffdd\ufffd"
    text.encode()


def test_a_character_across_two_chunks_is_whole():
    euro = "€".encode()
    assert capture(euro[:1], euro[1:]).output("stdout").text == "€"


@pytest.mark.parametrize("shift", range(4))
def test_cuts_do_not_tear_characters(shift: int):
    output = capture(b"." * shift + "€".encode() * 5000).output("stdout")
    assert "\ufffd" not in output.text
    assert LIMIT * 0.95 < len(output.text.encode()) < LIMIT + 60


def test_binary_output_stays_within_the_limit():
    output = capture(os.urandom(100_000)).output("stdout")
    assert len(output.text.encode()) < LIMIT + 60
    assert 100_000 - LIMIT < left_out(output.text) < 100_000


def test_binary_output_below_the_limit_that_swells_is_cut():
    output = capture(b"\xff" * 900).output("stdout")
    assert output.truncated
    assert len(output.text.encode()) < LIMIT + 60
    assert left_out(output.text) + output.text.count("\ufffd") == 900


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_tiny_limits_are_obeyed(limit: int):
    taken = capture(b"0123456789", limit=limit)
    assert 10 - limit <= left_out(taken.output("stdout").text) <= 10
    assert taken.tail().endswith("0123456789"[10 - limit :])


def test_a_secret_at_either_cut_is_hidden():
    secret = "correct-horse-battery-staple"
    for at in (480, 490, 500, 9480, 9490, 9500):
        data = b"x" * at + secret.encode() + b"x" * (10_000 - at)
        taken = capture(data, secrets=(secret,))
        for text in (taken.output("stdout").text, taken.tail()):
            for size in range(3, len(secret)):
                assert secret[:size] not in text
                assert secret[-size:] not in text


@given(
    st.lists(st.binary(max_size=30) | st.sampled_from([b"hunter2", b"hun", b"ter2"]), max_size=30),
    st.integers(4, 120),
)
def test_no_secret_survives_any_chunks_and_any_limit(chunks: list[bytes], limit: int):
    taken = capture(*chunks, limit=limit, secrets=("hunter2",))
    for text in (taken.output("stdout").text, taken.tail()):
        assert "hunter2" not in text
        assert "\0" not in text
        assert len(text.encode()) <= limit + 60


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab€\n", max_size=9)), max_size=20))
def test_short_output_of_both_streams_stands_in_order_of_arrival(chunks: list[tuple[str, str]]):
    taken = capture()
    for stream, text in chunks:
        taken.feed(stream, text.encode())
    assert taken.tail() == "".join(text for _, text in chunks)
    assert taken.output("stdout").text == "".join(text for stream, text in chunks if stream == "stdout")


def test_the_end_of_both_streams_is_bounded_and_says_what_is_missing():
    taken = capture()
    for at in range(500):
        taken.feed("stdout", b"out %03d\n" % at)
        taken.feed("stderr", b"err %03d\n" % at)
    text = taken.tail()
    assert left_out(text) == 8000 - LIMIT
    assert text.endswith("out 498\nerr 498\nout 499\nerr 499\n")


def test_the_end_of_binary_streams_is_bounded():
    taken = capture(os.urandom(5000))
    taken.feed("stderr", os.urandom(5000))
    assert len(taken.tail().encode()) < LIMIT + 60
    assert 10_000 - LIMIT <= left_out(taken.tail()) < 10_000


def test_a_secret_split_between_the_other_streams_output_is_hidden():
    taken = Capture(LIMIT, Redactor(["hunter2"]))
    for stream, data in (("stdout", b"hun"), ("stderr", b"noise"), ("stdout", b"ter2")):
        taken.feed(stream, data)
    assert taken.tail() == "***noise"


@pytest.mark.parametrize("count", range(500, 540))
def test_a_secret_added_while_output_comes_is_hidden_at_the_cuts_too(count: int):
    """Wherever the end of what is kept happens to begin."""
    secret = "correct-horse-battery-staple"
    redactor = Redactor()
    taken = Capture(LIMIT, redactor)
    redactor.add([secret])
    for _ in range(count):
        taken.feed("stdout", secret.encode())
    for text in (taken.output("stdout").text, taken.tail()):
        assert set(NOTE.sub("", text)) <= {"*", "\n"}


@pytest.mark.parametrize("size", [1 << 18, 4000])
def test_a_flood_of_100_mb_is_quick_and_small(size: int):
    chunk = os.urandom(size // 2) + b"y" * (size // 2)
    redactor = Redactor([f"secret number {at}" for at in range(50)])
    began = time.process_time()
    taken = Capture(65_536, redactor)
    for _ in range(100_000_000 // size):
        taken.feed("stdout", chunk)
    took = time.process_time() - began
    assert taken.output("stdout").total_bytes >= 99_000_000
    assert took < 2

    tracemalloc.start()
    again = Capture(65_536, redactor)
    for _ in range(10_000_000 // size):
        again.feed("stderr", chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_single_bytes_from_both_streams_by_turns_are_bearable():
    taken = Capture(65_536, Redactor(["hunter2"]))
    began = time.process_time()
    for _ in range(100_000):
        taken.feed("stdout", b"o")
        taken.feed("stderr", b"e")
    assert taken.tail().endswith("oeoeoe")
    assert time.process_time() - began < 15
