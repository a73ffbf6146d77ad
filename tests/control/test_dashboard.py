"""What is answered for the dashboard, whichever server asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.control.dashboard import Asked, Dashboard
from agent.control.page import FOR_GOOD, Page
from agent.control.settings import Settings
from tests.support.built_page import INDEX, make_page

SETTINGS = Settings(key="sb_publishable_abc", project="demo", local=True)


def asked(path: str, method: str = "GET", **more: str) -> Asked:
    return Asked(method=method, path=path, host="127.0.0.1:54321", **more)


@pytest.fixture
def dashboard(tmp_path: Path) -> Dashboard:
    return Dashboard(Page(make_page(tmp_path / "page")), lambda: SETTINGS)


def test_the_page_comes_with_its_policy(dashboard: Dashboard) -> None:
    answer = dashboard.answer(asked("/"))
    assert answer is not None
    assert (answer.status, answer.body.decode()) == (200, INDEX)
    assert answer.headers["content-length"] == str(len(INDEX))
    assert "connect-src 'self' http://127.0.0.1:54321 ws://127.0.0.1:54321" in answer.headers["content-security-policy"]


def test_head_says_the_same_without_the_body(dashboard: Dashboard) -> None:
    whole, head = dashboard.answer(asked("/")), dashboard.answer(asked("/", "HEAD"))
    assert whole is not None
    assert head is not None
    assert (head.headers, head.body) == (whole.headers, b"")


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_what_the_browser_has_is_not_sent_again(dashboard: Dashboard, known: str) -> None:
    first = dashboard.answer(asked("/assets/index-C0ffee12.js"))
    assert first is not None
    again = dashboard.answer(asked("/assets/index-C0ffee12.js", if_none_match=known.format(first.headers["etag"])))
    assert again is not None
    assert (again.status, again.body, again.headers["cache-control"]) == (304, b"", FOR_GOOD)
    changed = dashboard.answer(asked("/assets/index-C0ffee12.js", if_none_match='"other"'))
    assert changed is not None
    assert changed.status == 200


def test_its_settings_are_this_projects_and_not_the_templates(dashboard: Dashboard) -> None:
    answer = dashboard.answer(asked("/config.json"))
    assert answer is not None
    assert answer.headers["cache-control"] == "no-store"
    assert json.loads(answer.body) == {
        "url": "http://127.0.0.1:54321",
        "key": "sb_publishable_abc",
        "project": "demo",
        "local": True,
    }


@pytest.mark.parametrize(
    "path",
    ["/rest/v1/things.json", "/auth/v1/user", "/realtime/v1/websocket", "//rest/v1/things.json", "/nothing", "*"],
)
def test_it_stands_in_for_nothing_of_supabase_and_for_nothing_it_has_not(dashboard: Dashboard, path: str) -> None:
    assert dashboard.answer(asked(path)) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get"])
def test_it_answers_no_other_method(dashboard: Dashboard, method: str) -> None:
    assert dashboard.answer(asked("/", method)) is None
    assert dashboard.answer(asked("/config.json", method)) is None


def test_without_a_page_it_says_how_to_build_one_and_looks_again(tmp_path: Path) -> None:
    dashboard = Dashboard(Page(tmp_path / "page"), lambda: SETTINGS)
    assert not dashboard.built
    for path in ("/", "/index.html"):
        answer = dashboard.answer(asked(path))
        assert answer is not None
        assert "make page" in answer.body.decode()
        assert "script" not in answer.body.decode()
        assert answer.headers["cache-control"] == "no-cache"
        assert "refresh" in answer.body.decode()
    make_page(tmp_path / "page")
    now = dashboard.answer(asked("/"))
    assert now is not None
    assert now.body.decode() == INDEX
