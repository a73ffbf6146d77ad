"""The page as a folder for any static host: its files, `config.json`, and headers for hosts that read them from a file.

A folder with anything else in it is left alone; one of an earlier export is brought up to date, and only what that one
wrote is ever removed.
"""

from __future__ import annotations

from pathlib import Path

from agent.control.headers import security_headers
from agent.control.page import FOR_GOOD, INDEX, NAME, Page
from agent.control.settings import Settings
from agent.errors import PermanentError

WRITTEN = ".cronmirror-page"
"""Names of what an export wrote, one a line: by it the next one knows its own."""


def export(page: Page, settings: Settings, folder: Path) -> int:
    """Write it; how many files. Raises `PermanentError` where there is no page, or something else is in `folder`."""
    if not page.built:
        raise PermanentError("this installation has no built page to export", hint="Build it with: make page")
    before = _written_before(folder)
    files = {name: asset.body for name, asset in page.assets().items()}
    files |= {
        "config.json": settings.json() + b"\n",
        "_headers": _headers(settings).encode(),
        ".nojekyll": b"",  # GitHub Pages would leave out names that begin with an underscore
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, WRITTEN, "".join(f"{name}\n" for name in sorted(before | files.keys())).encode())
        # The index comes last: it names the others, and the folder may be served already.
        for name in sorted(files, key=lambda name: (name == INDEX, name)):
            _write(folder, name, files[name])
        for name in before - files.keys():
            (folder / name).unlink(missing_ok=True)
        _write(folder, WRITTEN, "".join(f"{name}\n" for name in sorted(files)).encode())
    except OSError as err:
        raise PermanentError(f"the page cannot be written to {folder}: {err.strerror}") from err
    return len(files)


def _written_before(folder: Path) -> set[str]:
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return set()
        names = (folder / WRITTEN).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        said = f"{folder} holds something else than an exported page"
        raise PermanentError(said, hint="Name an empty folder, or one that does not exist yet.") from None
    except OSError as err:
        raise PermanentError(f"{folder} cannot be read: {err.strerror}") from err
    return {name for name in names if _is_ours(name)}


def _is_ours(name: str) -> bool:
    """A line of that file leads nowhere outside of the folder, whoever wrote it."""
    return name == ".nojekyll" or all(NAME.fullmatch(part) for part in name.split("/"))


def _headers(settings: Settings) -> str:
    """What Netlify, Cloudflare Pages and others read; a file like any other elsewhere."""
    told = "".join(f"  {name}: {value}\n" for name, value in security_headers(settings).items())
    return f"/*\n{told}/assets/*\n  cache-control: {FOR_GOOD}\n"


def _write(folder: Path, name: str, body: bytes) -> None:
    """Whole or not at all; a link in its place is replaced, not followed."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(body)
    fresh.replace(file)
