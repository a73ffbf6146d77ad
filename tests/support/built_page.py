"""A stand-in for the built dashboard: the files that Vite would write, small enough to compare."""

from __future__ import annotations

from pathlib import Path

INDEX = '<!doctype html><title>stub</title><script type="module" src="./assets/index-C0ffee12.js"></script>'
SCRIPT = "document.title = 'ran'"


def make_page(folder: Path) -> Path:
    """The folder, with a page in it and things beside it that nobody may have."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "assets/index-C0ffee12.js").write_text(SCRIPT)
    (folder / "assets/style-Zb_3-x9Q.css").write_text("body {}")
    (folder / "assets/notes.txt").write_text("no hash in this name")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "config.json").write_text('{"url": "https://template.invalid"}')
    (folder / "rest/v1").mkdir(parents=True)
    (folder / "rest/v1/things.json").write_text("[]")
    (folder / ".env").write_text("SECRET=1")
    (folder / "program.exe").write_text("MZ")
    (folder.parent / "secret.txt").write_text("outside")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "out").symlink_to(folder.parent)
    return folder
