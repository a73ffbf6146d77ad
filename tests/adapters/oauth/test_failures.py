"""What refusals mean: real providers' error bodies, and whatever stands between them and us."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.adapters.oauth.answers import body_of
from agent.adapters.oauth.failures import LONGEST_MESSAGE, LONGEST_WAIT_S, failure_of, retry_after_s
from agent.model import FailureKind

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TRANSIENT, PERMANENT = FailureKind.TRANSIENT, FailureKind.PERMANENT


def table() -> list[tuple[str, str, str]]:
    """(where it is from, what it means, body) of each case of refusals.txt."""
    lines = Path(__file__).with_name("refusals.txt").read_text(encoding="utf-8").split("\n")[3:-1]
    return list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))


@pytest.mark.parametrize(("where", "meaning", "body"), table())
def test_what_a_provider_says_is_understood(where, meaning, body):
    status, kind, code = meaning.split()
    found = failure_of(int(status), {}, body_of("application/json", body), body, now=NOW)
    assert (found.kind, found.code) == (kind, code), where
    assert status in found.message
    assert "<" not in found.message


def test_the_message_says_what_the_provider_said_and_no_secret():
    body = {"error": "bad_refresh_token", "error_description": "rt-secret is\nno token of \x1b[31mclient-secret"}
    secrets = ["rt-secret", "client-secret", ""]
    found = failure_of(400, {}, body, json.dumps(body), secrets=secrets, now=NOW)
    assert found.message == ("the provider answered invalid_grant (400): bad_refresh_token: *** is no token of [31m***")


def test_a_long_message_is_cut():
    body = {"error": "x", "error_description": "y" * 5000}
    assert len(failure_of(400, {}, body, "", now=NOW).message) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("Sat, 28 Nov 2026 12:02:00 GMT", 120.0),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0.0),
        ("99999999", LONGEST_WAIT_S),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert retry_after_s({"retry-after": value}, NOW) == seconds


def test_whoever_is_told_to_wait_hears_how_long():
    found = failure_of(503, {"retry-after": "30"}, None, "", now=NOW)
    assert (found.kind, found.retry_after_s) == (TRANSIENT, 30.0)
    assert failure_of(429, {}, None, "", now=NOW).retry_after_s is None
