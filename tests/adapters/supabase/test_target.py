from __future__ import annotations

import pytest

from agent.adapters.supabase.target import KeyKind, Target, jwt_claims
from agent.errors import ConfigError
from tests.support.misbehaving_supabase import jwt


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("sb_publishable_abc", KeyKind.PUBLIC),
        (jwt(role="anon"), KeyKind.PUBLIC),
        ("sb_secret_abc", KeyKind.SECRET),
        (jwt(role="service_role"), KeyKind.SECRET),
        ("not.a.jwt", KeyKind.PUBLIC),
    ],
)
def test_a_key_says_what_it_is(key, kind):
    assert Target(url="https://x.supabase.co", key=key).key_kind is kind


@pytest.mark.parametrize("url", ["https://x.supabase.co/", " https://x.supabase.co ", "https://x.supabase.co/rest/v1/"])
def test_a_pasted_url_is_reduced_to_the_project(url):
    target = Target(url=url, key="k")
    assert target.url == "https://x.supabase.co"
    assert target.socket_url == "wss://x.supabase.co/realtime/v1"


def test_the_realtime_address_can_be_another_one():
    assert Target(url="http://x", key="k", realtime_url="http://y/r").socket_url == "ws://y/r"
    assert Target(url="http://x", key="k", realtime_url="ws://y/r").socket_url == "ws://y/r"


@pytest.mark.parametrize(
    ("url", "key", "path"), [("x.supabase.co", "k", "supabase.url"), ("https://x", " ", "supabase.key")]
)
def test_what_cannot_be_a_project_is_refused_with_its_place(url, key, path):
    with pytest.raises(ConfigError) as caught:
        Target(url=url, key=key)
    assert caught.value.problems[0].path == path


def test_neither_key_nor_password_shows_in_a_repr():
    assert "hush" not in repr(Target(url="https://x", key="hush-key", password="hush-word"))


@pytest.mark.parametrize("token", ["", "a.b", "a.!.c", "a.W10.c"])
def test_what_is_no_jwt_has_no_claims(token):
    assert jwt_claims(token) == {}
