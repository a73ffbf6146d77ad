"""The page as a folder to upload: what is in it, what never is, and which folders are left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.control.export import WRITTEN, export
from agent.control.page import Page
from agent.control.settings import Settings
from agent.errors import PermanentError
from tests.support.built_page import INDEX, make_page

SETTINGS = Settings(url="https://abcdefgh.supabase.co", key="sb_publishable_abc", project="home-lab")


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "built").mkdir()
    return Page(make_page(tmp_path / "built" / "page"))


def names(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def test_a_folder_has_the_page_its_configuration_and_its_headers(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    count = export(page, SETTINGS, folder)

    assert (folder / "index.html").read_text() == INDEX
    assert json.loads((folder / "config.json").read_text()) == {
        "url": "https://abcdefgh.supabase.co",
        "key": "sb_publishable_abc",
        "project": "home-lab",
    }
    headers = (folder / "_headers").read_text()
    assert headers.startswith("/*\n  content-security-policy: default-src 'none'")
    assert "connect-src 'self' https://abcdefgh.supabase.co wss://abcdefgh.supabase.co;" in headers
    assert "/assets/*\n  cache-control: public, max-age=31536000, immutable\n" in headers
    assert {"assets/index-C0ffee12.js", "icon.svg", ".nojekyll"} < set(names(folder))
    assert count == len(names(folder)) - 1  # its own list


def test_what_the_page_does_not_serve_is_not_exported_either(page: Page, tmp_path: Path) -> None:
    export(page, SETTINGS, tmp_path / "out")
    found = names(tmp_path / "out")
    assert not [name for name in found if "secret" in name or name in (".env", "program.exe", "link.txt")]


def test_the_next_export_replaces_what_the_last_one_wrote_and_leaves_the_rest(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(page, SETTINGS, folder)
    (folder / "CNAME").write_text("cron.example.com")
    built = tmp_path / "built" / "page" / "assets"
    (built / "index-C0ffee12.js").rename(built / "index-NewHash1.js")

    export(page, SETTINGS, folder)

    assert {"assets/index-NewHash1.js", "CNAME"} < set(names(folder))
    assert "assets/index-C0ffee12.js" not in names(folder)
    assert not [name for name in names(folder) if name.endswith(".new")]
    assert set((folder / WRITTEN).read_text().splitlines()) == set(names(folder)) - {"CNAME", WRITTEN}


def test_a_folder_with_something_else_in_it_is_left_alone(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("my own site")
    with pytest.raises(PermanentError, match="holds something else") as caught:
        export(page, SETTINGS, folder)
    assert "empty folder" in str(caught.value.hint)
    assert names(folder) == ["index.html"]
    with pytest.raises(PermanentError, match="holds something else"):
        export(page, SETTINGS, folder / "index.html")
    assert (folder / "index.html").read_text() == "my own site"


def test_a_list_that_was_tampered_with_leads_nowhere(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(page, SETTINGS, folder)
    (tmp_path / "precious").write_text("keep")
    with (folder / WRITTEN).open("a") as written:
        written.write(f"../precious\n{tmp_path}/precious\nassets/../../precious\n")
    export(page, SETTINGS, folder)
    assert (tmp_path / "precious").read_text() == "keep"


def test_a_link_in_the_folder_is_replaced_and_not_followed(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(page, SETTINGS, folder)
    (tmp_path / "precious").write_text("keep")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "precious")
    export(page, SETTINGS, folder)
    assert (tmp_path / "precious").read_text() == "keep"
    assert json.loads((folder / "config.json").read_text())["project"] == "home-lab"


def test_without_a_built_page_it_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no built page") as caught:
        export(Page(tmp_path / "nothing"), SETTINGS, tmp_path / "out")
    assert caught.value.hint == "Build it with: make page"
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_named(page: Page, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="file"):
        export(page, SETTINGS, tmp_path / "file" / "below")
