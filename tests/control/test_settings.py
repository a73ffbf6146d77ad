"""What the page is told, what it is never told, and the policy it runs under."""

from __future__ import annotations

import json

import jwt
import pytest

from agent.control.headers import security_headers
from agent.control.settings import Settings
from agent.errors import ConfigError

KEY = "sb_publishable_abc"
HOSTED = Settings(url="https://abcdefgh.supabase.co", key=KEY, project="home-lab")


def legacy(role: str) -> str:
    return jwt.encode({"role": role}, "x" * 32, algorithm="HS256")


def test_the_page_is_told_where_its_project_is() -> None:
    assert json.loads(HOSTED.json()) == {"url": "https://abcdefgh.supabase.co", "key": KEY, "project": "home-lab"}
    assert json.loads(Settings(url="https://x.supabase.co", key=legacy("anon")).json())["key"] == legacy("anon")


def test_the_embedded_stack_is_where_the_page_comes_from() -> None:
    here = Settings(key=KEY, local=True)
    assert json.loads(here.seen_at("localhost:8000").json()) == {
        "url": "http://localhost:8000",
        "key": KEY,
        "local": True,
    }
    assert HOSTED.seen_at("localhost:8000") is HOSTED


@pytest.mark.parametrize("key", ["sb_secret_abc", legacy("service_role")])
def test_a_key_that_may_do_everything_never_reaches_a_browser(key: str) -> None:
    with pytest.raises(ConfigError, match=r"supabase\.key: is a secret .* publishable \(anon\) key") as caught:
        Settings(url="https://x.supabase.co", key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_said_to_be_empty(key: str) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        Settings(url="https://x.supabase.co", key=key)


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://x;script-src *", "https://x y", "https://x\r\nset-cookie: a=b", "https://x/path", "x"]
)
def test_an_address_that_would_bend_the_policy_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not the address"):
        Settings(url=url, key=KEY)


def test_the_policy_lets_the_page_talk_to_its_project_and_run_its_own_files_alone() -> None:
    headers = security_headers(HOSTED)
    policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self' https://abcdefgh.supabase.co wss://abcdefgh.supabase.co"
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert not [name for name, value in policy.items() if "unsafe" in value and name != "style-src"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"


def test_on_loopback_the_websocket_is_plain() -> None:
    policy = security_headers(Settings(url="http://127.0.0.1:54321", key=KEY))["content-security-policy"]
    assert "connect-src 'self' http://127.0.0.1:54321 ws://127.0.0.1:54321;" in policy
