"""Token answers as providers write them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from agent.adapters.oauth.answers import body_of, tokens_of
from agent.model import Connection, Tokens

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OLD = Tokens(
    access_token="at-old", refresh_token="rt-old", obtained_at=NOW, account="ada", scopes=("a",),
    refresh_expires_at=NOW + timedelta(days=9),
)  # fmt: skip


def read(body: dict, old: Tokens | None = None, **connection: object) -> Tokens | None:
    made = Connection(connection_id="c", provider="generic", token_url="u", client_id="i", **connection)
    return tokens_of(made, body, asked_at=NOW, old=old)


@pytest.mark.parametrize(
    ("body", "expires_at"),
    [
        ({"expires_in": 3600}, NOW + timedelta(hours=1)),
        ({"expires_in": "3600"}, NOW + timedelta(hours=1)),
        ({"expiresIn": 1800}, NOW + timedelta(minutes=30)),
        ({"expires_at": "2026-12-28T12:00:00Z"}, datetime(2026, 12, 28, 12, tzinfo=UTC)),
        ({"expires_at": "2026-12-28T12:00:00"}, datetime(2026, 12, 28, 12, tzinfo=UTC)),
        ({"access_token_expiration": 1798459200}, datetime(2026, 12, 28, 12, tzinfo=UTC)),
        ({"expires_at": 1798459200000}, datetime(2026, 12, 28, 12, tzinfo=UTC)),
        ({"expires_in": 0}, None),
        ({"expires_in": True}, None),
        ({"expires_in": "soon", "expires_at": "later"}, None),
        ({"expires_in": "inf"}, None),
        ({}, None),
    ],
)
def test_when_it_expires(body, expires_at):
    assert read({"access_token": "at", **body}).expires_at == expires_at


@pytest.mark.parametrize(
    ("body", "days"),
    [
        ({"x_refresh_token_expires_in": 8640000}, 100),
        ({"refresh_token_expires_in": "7776000"}, 90),
        ({"refresh_token_expiration": 1798459200}, 30),
        ({}, None),
    ],
)
def test_when_the_refresh_token_expires(body, days):
    found = read({"access_token": "at", "refresh_token": "rt", **body}, OLD).refresh_expires_at
    assert found == (None if days is None else NOW + timedelta(days=days))


def test_what_a_refresh_leaves_out_is_as_it_was():
    found = read({"access_token": "at"}, OLD)
    assert (found.access_token, found.refresh_token, found.account, found.scopes) == ("at", "rt-old", "ada", ("a",))
    assert found.refresh_expires_at == OLD.refresh_expires_at


@pytest.mark.parametrize(
    ("body", "scopes"),
    [
        ({"scope": "a b"}, ("a", "b")),
        ({"scope": "a,b"}, ("a", "b")),
        ({"scopes": ["a", "b"]}, ("a", "b")),
        ({}, ("asked",)),
        ({"scope": ""}, ("asked",)),
    ],
)
def test_what_was_granted(body, scopes):
    assert read({"access_token": "at", **body}, scopes=("asked",)).scopes == scopes


def test_slack_puts_a_persons_token_one_level_down():
    inner = {"id": "U1", "access_token": "xoxe.xoxp-1", "refresh_token": "xoxe-1", "expires_in": 43200, "scope": "chat"}
    found = read({"ok": True, "authed_user": inner, "team": {"name": "Acme"}}, account_fields=("team.name",))
    assert (found.access_token, found.refresh_token, found.account) == ("xoxe.xoxp-1", "xoxe-1", "Acme")
    assert found.lifetime_s == 43200


def jwt(claims: object) -> str:
    return "h." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".s"


@pytest.mark.parametrize(
    ("body", "account"),
    [
        ({"merchant_id": "M1"}, "M1"),
        ({"merchant_id": 7}, "7"),
        ({"merchant_id": " "}, None),
        ({"merchant_id": {"a": 1}}, None),
        ({"id_token": jwt({"email": "ada@example.com", "sub": "1"})}, "ada@example.com"),
        ({"id_token": jwt({"sub": "1"})}, "1"),
        ({"id_token": jwt([1])}, None),
        ({"id_token": "a.!.c"}, None),
        ({"id_token": "nothing"}, None),
        ({"id_token": 3}, None),
    ],
)
def test_whose_it_is(body, account):
    assert read({"access_token": "at", **body}, account_fields=("merchant_id",)).account == account


@pytest.mark.parametrize("body", [{}, {"access_token": ""}, {"access_token": 3}, {"authed_user": {"id": "U"}}])
def test_no_token_is_none(body):
    assert read(body) is None


@pytest.mark.parametrize(
    ("written", "meant"), [("bearer", "Bearer"), ("bot", "Bearer"), (None, "Bearer"), ("DPoP", "DPoP")]
)
def test_the_type_of_a_token(written, meant):
    assert read({"access_token": "at", "token_type": written}).token_type == meant


@pytest.mark.parametrize(
    ("kind", "text", "body"),
    [
        ("application/json", '{"a": 1}', {"a": 1}),
        ("text/html", '{"a": 1}', {"a": 1}),
        ("application/x-www-form-urlencoded", "a=1&b=2", {"a": "1", "b": "2"}),
        ("text/plain", "access_token=x&scope=y", {"access_token": "x", "scope": "y"}),
        ("text/plain", "a=1", None),
        ("text/html", "<a href=x>", None),
        ("application/json", "", None),
        ("application/json", "[" * 100_000, None),
    ],
)
def test_json_and_forms_are_read(kind, text, body):
    assert body_of(kind, text) == body
