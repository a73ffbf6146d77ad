"""The built page: finds its files and says how long a browser may keep them.

Nothing outside of its folder is ever read: names are matched against what Vite writes, not cleaned.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

BUILT = Path(__file__).parent / "page"
"""Where `scripts/build-page` puts it and the wheel carries it."""
INDEX = "index.html"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".map": "application/json; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""A file of any other kind is not served: with `nosniff` a guessed type would be wrong at best."""

NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]*")
"""Neither `..` nor a hidden file, no separator of any system, no control character."""
HASHED = re.compile(r"assets/(?:.+/)?[^/]+-[A-Za-z0-9_-]{8,}\.[a-z0-9]+(?:\.map)?")
"""Vite puts a hash of the content into these names: another content has another name."""
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    content_type: str
    cache_control: str
    etag: str


class Page:
    """The files below `folder`, looked up at each request: the page may be built while it is served."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder

    @property
    def built(self) -> bool:
        """Whether there is a page to show."""
        return (self._folder / INDEX).is_file()

    def asset(self, path: str) -> Asset | None:
        """The file for a decoded URL path (`/` is the index), or None."""
        name = path.removeprefix("/") or INDEX
        file = self._file(name)
        if file is None or file.suffix not in TYPES:
            return None
        try:
            body = file.read_bytes()
        except OSError:  # removed meanwhile: a new build is being put in place
            return None
        return Asset(
            body=body,
            content_type=TYPES[file.suffix],
            cache_control=FOR_GOOD if HASHED.fullmatch(name) else ASK_AGAIN,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        )

    def assets(self) -> dict[str, Asset]:
        """Every file that is served, by its name."""
        found = sorted(each.relative_to(self._folder).as_posix() for each in self._folder.rglob("*"))
        return {name: asset for name in found if (asset := self.asset(f"/{name}"))}

    def _file(self, name: str) -> Path | None:
        parts = name.split("/")
        if not all(NAME.fullmatch(part) for part in parts):
            return None
        try:
            file = self._folder.joinpath(*parts).resolve()
            inside = file.is_relative_to(self._folder.resolve())  # a symbolic link may lead anywhere
            return file if inside and file.is_file() else None
        except OSError:  # a name longer than the file system allows
            return None
