"""What is answered for the dashboard, whichever server asks: the page, `config.json`, or how to build the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.control.headers import security_headers
from agent.control.page import ASK_AGAIN, INDEX, Page
from agent.control.settings import Settings

SUPABASE = ("rest", "auth", "realtime", "storage", "functions", "graphql", "pg")
"""First parts of the paths that are Supabase's: no file of the page ever stands in for an answer of theirs."""
UNBUILT = Path(__file__).with_name("unbuilt.html")
NEVER_KEEP = "no-store"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as far as it matters here. `path` is decoded; `host` is the checked `Host` header, `scheme` http(s)."""

    method: str
    path: str
    host: str
    if_none_match: str = ""
    scheme: str = "http"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer; header names are lower case, the length is among them."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Dashboard:
    """Answers for one page and one project. `settings` is asked each time: the keys may come later than the page."""

    def __init__(self, page: Page, settings: Callable[[], Settings]) -> None:
        self._page = page
        self._settings = settings

    @property
    def built(self) -> bool:
        """Whether there is a page, and not only the words how to make one."""
        return self._page.built

    def answer(self, asked: Asked) -> Answer | None:
        """None where the dashboard has nothing to say: another method, a path of Supabase's, no such file."""
        if asked.method not in ("GET", "HEAD") or asked.path.lstrip("/").partition("/")[0] in SUPABASE:
            return None
        if asked.path == "/config.json":
            told = self._settings().seen_at(asked.host, asked.scheme).json()
            return self._whole(asked, told, "application/json; charset=utf-8", NEVER_KEEP)
        if asked.path in ("/", f"/{INDEX}") and not self.built:
            return self.unbuilt(asked)
        asset = self._page.asset(asked.path)
        if asset is None:
            return None
        if _known(asked.if_none_match, asset.etag):
            kept = {"etag": asset.etag, "cache-control": asset.cache_control}
            return Answer(status=304, headers=self._headers(asked) | kept)
        return self._whole(asked, asset.body, asset.content_type, asset.cache_control, asset.etag)

    def unbuilt(self, asked: Asked) -> Answer:
        """The words in place of the page; they look again by themselves."""
        return self._whole(asked, UNBUILT.read_bytes(), "text/html; charset=utf-8", ASK_AGAIN)

    def redirect(self, asked: Asked, location: str) -> Answer:
        """To somewhere on the page; the address may hold a session, so nobody keeps it."""
        told = {"location": location, "cache-control": NEVER_KEEP, "content-length": "0"}
        return Answer(status=303, headers=self._headers(asked) | told)

    def _whole(self, asked: Asked, body: bytes, content_type: str, cache_control: str, etag: str = "") -> Answer:
        told = {"content-type": content_type, "content-length": str(len(body)), "cache-control": cache_control}
        headers = self._headers(asked) | told | ({"etag": etag} if etag else {})
        return Answer(status=200, headers=headers, body=b"" if asked.method == "HEAD" else body)

    def _headers(self, asked: Asked) -> dict[str, str]:
        return security_headers(self._settings().seen_at(asked.host, asked.scheme))


def _known(if_none_match: str, etag: str) -> bool:
    """RFC 9110 §13.1.2: a list of tags, compared weakly, or a star."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
