from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.run.redact import CLEAN_KEPT, MASK, SHORT, Redactor, join_spans, mask

SECRET = "s3cr/t+k?y ü~"

# The mask's own character is left out: `***` in place of one secret could complete another one.
plain = st.characters(codec="utf-8", exclude_characters="*")
secrets = st.lists(st.text(plain, min_size=4, max_size=12), min_size=1, max_size=4)
letters = st.text("abc", max_size=40)
letter_secrets = st.lists(st.text("abc", min_size=4, max_size=6), min_size=1, max_size=3)


def test_a_plain_secret_is_hidden():
    assert Redactor([SECRET])(f"key={SECRET};") == "key=***;"


@pytest.mark.parametrize(
    "spelling",
    [
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda escape: escape[0].lower(), quote(SECRET, safe="")),
        quote(SECRET, safe="!*'()"),
        json.dumps('"' + SECRET + '"'),
        json.dumps(SECRET, ensure_ascii=False),
    ],
)
def test_encoded_spellings_are_hidden(spelling: str):
    text = Redactor([SECRET, '"' + SECRET + '"'])(f"<{spelling}>")
    assert "***" in text
    assert "s3cr" not in text
    assert "y" not in text


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_inside_of_base64_is_hidden_wherever_it_stands(before, after, encode):
    secret = "hunter2>hunter2?"
    encoded = encode((before + secret + after).encode()).decode()
    clean = Redactor([secret])(encoded)
    assert "***" in clean
    left = len(clean.replace("***", ""))
    assert left <= len(encode((before + after).encode())) + 4, "only characters that others have a part in remain"


def test_short_values_are_left_alone():
    assert Redactor(["abc", ""])("abc") == "abc"


def test_secrets_can_be_added_later():
    redact = Redactor()
    assert redact(SECRET) == SECRET
    redact.add([SECRET])
    assert redact(SECRET) == "***"


def test_overlapping_secrets_are_hidden_as_one():
    assert Redactor(["abcdef", "defghi"])("-abcdefghi-") == "-***-"


def test_lone_surrogates_pass_through():
    assert Redactor([SECRET])("\ud800" + SECRET) == "\ud800***"


def test_a_secret_that_is_not_unicode_is_found():
    secret = b"caf\xe9-au-lait".decode("utf-8", "surrogateescape")
    assert Redactor([secret]).spans(b"<caf\xe9-au-lait>") == [(1, 13)]


@given(secrets, st.text(plain), st.text(plain))
def test_no_secret_survives(known: list[str], before: str, after: str):
    redact = Redactor(known)
    for secret in known:
        clean = redact(before + secret + after)
        assert not any(other in clean for other in known)


@given(letters, letter_secrets)
def test_text_without_secrets_is_unchanged_and_everything_else_too(text: str, known: list[str]):
    redact = Redactor(known)
    clean = redact(text)
    if not redact.spans(text.encode()):
        assert clean == text
    covered = {at for secret in known for at in _covered(text, secret)}
    assert clean.replace("***", "") == "".join(char for at, char in enumerate(text) if at not in covered)


@given(letters, letter_secrets, st.lists(st.integers(0, 40)))
def test_a_stream_is_redacted_like_the_whole_whatever_its_chunks(text: str, known: list[str], cuts: list[int]):
    redactor = Redactor(known)
    stream, data = redactor.stream(), text.encode()
    borders = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [stream.feed(data[begin:end]) for begin, end in pairwise(borders)]
    assert b"".join([*pieces, stream.close()]) == mask(data, redactor.spans(data))


def test_a_stream_holds_back_only_what_may_be_a_secret():
    stream = Redactor(["password"]).stream()
    assert stream.feed(b"10 % done\n") == b"10 % done\n"
    assert stream.feed(b"my pass") == b"my "
    assert stream.feed(b"age") == b"passage"
    assert stream.feed(b" passw") == b" "
    assert stream.feed(b"ord!") == MASK + b"!"
    assert stream.close() == b""


def test_an_endless_secret_is_one_mask_and_does_not_pile_up():
    stream = Redactor(["aaaa"]).stream()
    given_out = [stream.feed(b"a" * 1000) for _ in range(50)]
    assert b"".join([*given_out, stream.close()]) == MASK


def test_spans_that_touch_stay_two():
    assert join_spans([(4, 8), (0, 4), (6, 9)]) == [(0, 4), (4, 9)]


def _covered(text: str, secret: str) -> list[int]:
    needles = {secret, base64.b64encode(secret.encode()).decode()}
    return [
        at + each
        for needle in needles
        for at in range(len(text))
        if text.startswith(needle, at)
        for each in range(len(needle))
    ]


def test_a_text_that_was_clean_is_hidden_once_its_secret_is_known() -> None:
    redactor = Redactor(["another one"])
    assert redactor("said: hunter2") == "said: hunter2"
    redactor.add(["hunter2"])
    assert redactor("said: hunter2") == "said: ***"


def test_no_more_than_some_texts_are_remembered() -> None:
    redactor = Redactor(["hunter2"])
    for number in range(3 * CLEAN_KEPT):
        redactor(str(number))
    assert 0 < len(redactor._clean) <= CLEAN_KEPT
    redactor("x" * (SHORT + 1))
    assert not any(len(text) > SHORT for text in redactor._clean)
