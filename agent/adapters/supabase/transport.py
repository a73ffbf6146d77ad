"""The one warm HTTP connection pool to a project, and what its failures mean before anybody looks at the body.

An answer that is not 2xx leaves here as `HttpFailure`; whoever asked gives it its meaning.
"""

from __future__ import annotations

import json
import logging
import socket
from typing import Final

import httpx

from agent.errors import Unreachable
from agent.model import Json

TIMEOUT_S: Final = 10.0
"""For connecting, for sending, and for each silence while an answer is awaited."""
KEEP_WARM_S: Final = 50.0
"""Longer than the 15 s between beats, so that TLS is shaken once (httpx's own default is 5 s); shorter than the 60 s
and more for which servers keep an idle connection, so that we close it first."""
LONGEST_WISH_S: Final = 300.0
"""A `Retry-After` is honoured up to here: a wrong header must not silence an agent for a day."""
URL_HINT: Final = "Check supabase.url in the configuration: it looks like https://abcdefgh.supabase.co"


class HttpFailure(Exception):
    """An answer other than 2xx. `body` is its JSON object, empty when it was none."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.status = response.status_code
        self.body = json_object(response)
        self.is_json = bool(self.body)
        self.retry_after_s = retry_after(response.headers.get("retry-after"))
        hint = self.body.get("hint")
        self.hint = hint if isinstance(hint, str) and hint else None
        self.location = response.headers.get("location")

    @property
    def code(self) -> str:
        """PostgREST's, Postgres' or Auth's code; empty when there is none."""
        for key in ("error_code", "code", "error"):
            value = self.body.get(key)
            if isinstance(value, str):
                return value
        return ""

    @property
    def text(self) -> str:
        """What the server said, for people; at most a few hundred characters."""
        for key in ("message", "msg", "error_description", "error"):
            value = self.body.get(key)
            if isinstance(value, str) and value:
                return value[:500]
        return f"HTTP {self.status}"

    @property
    def temporary(self) -> bool:
        """Nothing was said about the call itself: timeouts, rate limits, server trouble, or no JSON at all."""
        return self.status in (408, 429) or self.status >= 500 or not self.is_json  # noqa: PLR2004 - RFC 9110 §15

    def unreachable(self, url: str, what: str) -> Unreachable:
        """The failure as `Unreachable`, saying why in words."""
        if self.status == 540:  # noqa: PLR2004 - Supabase's own: the project is paused
            return Unreachable(f"{what}: the Supabase project at {url} is paused.", hint="Resume it in its dashboard.")
        if self.location is not None:
            return Unreachable(f"{what}: {url} redirects to {self.location[:200]}.", hint=URL_HINT)
        if not self.is_json and self.status < 500 and self.status not in (408, 429):  # noqa: PLR2004 - RFC 9110 §15
            said = f"{what}: {url} answered HTTP {self.status} without JSON, which Supabase never does."
            return Unreachable(said, retry_after_s=self.retry_after_s, hint=URL_HINT)
        said = f"{what}: {url} answered HTTP {self.status} ({self.text})."
        return Unreachable(said, retry_after_s=self.retry_after_s)


def open_http() -> httpx.AsyncClient:
    """A new pool for one project; the caller closes it.

    httpx logs every request at INFO: six lines a minute, for ever, that say nothing our own events don't.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.AsyncClient(
        timeout=httpx.Timeout(TIMEOUT_S),
        limits=httpx.Limits(max_connections=10, max_keepalive_connections=5, keepalive_expiry=KEEP_WARM_S),
        event_hooks={"response": [_raise_failures]},
    )


async def _raise_failures(response: httpx.Response) -> None:
    """Here and not after `execute()`: postgrest's `APIError` knows neither the status nor `Retry-After`."""
    if not response.is_success:
        await response.aread()
        raise HttpFailure(response)


def network_failure(err: Exception, url: str, what: str) -> Unreachable:
    """A transport error of httpx (or our own time limit) as `Unreachable`."""
    if isinstance(err, TimeoutError | httpx.TimeoutException):
        return Unreachable(f"{what}: {url} did not answer in time.")
    said = str(err) or type(err).__name__
    if _is_dns(err):
        return Unreachable(f"{what}: the name in {url} could not be resolved ({said}).", hint=f"Offline? {URL_HINT}")
    hint = f"Offline? {URL_HINT}" if isinstance(err, httpx.ConnectError) else None
    return Unreachable(f"{what}: {url} could not be reached ({said}).", hint=hint)


def _is_dns(err: BaseException) -> bool:
    """The resolver's error lies under several wrappers (httpx, httpcore, anyio)."""
    seen: BaseException | None = err
    while seen is not None:
        if isinstance(seen, socket.gaierror):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def json_object(response: httpx.Response) -> dict[str, Json]:
    """The body as a JSON object, or an empty one."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(header: str | None) -> float | None:
    """`Retry-After` in seconds, bounded; None when absent or a date (RFC 9110 §10.2.3 allows both)."""
    if header is None or not header.strip().isdigit():
        return None
    return min(float(header), LONGEST_WISH_S)
