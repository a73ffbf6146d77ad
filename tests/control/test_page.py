"""Which files the page has, and what a browser may do with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.page import ASK_AGAIN, FOR_GOOD, Page
from tests.support.built_page import INDEX, SCRIPT, make_page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(make_page(tmp_path_factory.mktemp("made") / "page"))


def test_the_index_is_asked_for_again_and_hashed_names_are_kept_for_good(page: Page) -> None:
    index, script = page.asset("/"), page.asset("/assets/index-C0ffee12.js")
    assert index is not None
    assert script is not None
    assert (index.body.decode(), index.content_type, index.cache_control) == (
        INDEX,
        "text/html; charset=utf-8",
        ASK_AGAIN,
    )
    assert (script.body.decode(), script.content_type, script.cache_control) == (
        SCRIPT,
        "text/javascript; charset=utf-8",
        FOR_GOOD,
    )
    assert page.asset("/index.html") == index
    assert index.etag != script.etag


@pytest.mark.parametrize(
    ("path", "content_type", "kept"),
    [
        ("/assets/style-Zb_3-x9Q.css", "text/css; charset=utf-8", FOR_GOOD),
        ("/assets/notes.txt", "text/plain; charset=utf-8", ASK_AGAIN),
        ("/icon.svg", "image/svg+xml", ASK_AGAIN),
    ],
)
def test_every_file_has_its_type(page: Page, path: str, content_type: str, kept: str) -> None:
    asset = page.asset(path)
    assert asset is not None
    assert (asset.content_type, asset.cache_control) == (content_type, kept)


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/../index.html",
        "/./index.html",
        "//index.html",
        "/assets//index-C0ffee12.js",
        "/link.txt",
        "/out/secret.txt",
        "/.env",
        "/program.exe",
        "/assets",
        "/assets/",
        "/index.html\0.js",
        "/index.html/",
        "/..\\secret.txt",
        "/" + "a" * 5000 + ".js",
        "/etc/passwd",
        "index.html ",
        "*",
    ],
)
def test_nothing_else_is_found(page: Page, path: str) -> None:
    assert page.asset(path) is None


@given(
    st.lists(st.sampled_from(["..", ".", "assets", "out", "link.txt", "secret.txt", "index.html", "", "%2e%2e", "\\"]))
)
def test_no_path_leads_out(page: Page, parts: list[str]) -> None:
    found = page.asset("/" + "/".join(parts))
    assert found is None or found.body.decode() == INDEX


def test_a_page_may_be_built_and_removed_while_it_is_served(tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    assert (page.built, page.asset("/")) == (False, None)
    make_page(tmp_path / "page")
    assert page.built
    first = page.asset("/")
    (tmp_path / "page/index.html").write_text("another")
    second = page.asset("/")
    assert first is not None
    assert second is not None
    assert (second.body, second.etag != first.etag) == (b"another", True)


def test_a_file_that_goes_away_in_between_is_none(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Path) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_bytes", gone)
    assert page.asset("/") is None
