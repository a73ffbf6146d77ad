"""The one warm HTTP connection pool to a project, and what its failures mean before anybody looks at the body.

An answer that is not 2xx leaves here as `HttpFailure`; whoever asked gives it its meaning.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator
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
MAX_ANSWER: Final = 80 * 2**20
"""Bytes. The largest honest answer is a claim of 256 payloads of 256 KiB each; a flood must not end in our memory."""
URL_HINT: Final = "Check supabase.url in the configuration: it looks like https://abcdefgh.supabase.co"


class UnusableAnswer(httpx.TransportError):
    """An answer that may be JSON and still cannot be taken in: it says nothing about the call."""


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
        headers={"accept-encoding": "identity"},  # a compressed flood would pass every limit
        event_hooks={"response": [_judge]},
    )


async def drop_connections(http: httpx.AsyncClient) -> None:
    """Close every connection of the pool, those in use too: what is asked on one fails now, and the next is new.

    After sleep the other ends are gone without a word, and each call would wait for its time limit first. A closed
    transport of httpx (httpcore's pool) goes on with new connections.
    """
    transports = {http._transport, *http._mounts.values()} - {None}  # noqa: SLF001 - httpx has no other way
    for transport in transports:
        if transport is not None:
            await transport.aclose()


class _Bounded(httpx.AsyncByteStream):
    """A body that ends in an error where it becomes too much."""

    def __init__(self, body: httpx.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_ANSWER
        async for part in self._body:
            left -= len(part)
            if left < 0:
                raise UnusableAnswer(f"the answer is longer than {MAX_ANSWER // 2**20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


async def _judge(response: httpx.Response) -> None:
    """Take the whole answer in, or say what is wrong with it.

    Here and not after `execute()`: postgrest's `APIError` knows neither the status nor `Retry-After`, and what cannot
    be decoded it raises as if our arguments were at fault.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnusableAnswer("the answer is compressed although we asked for it plain")
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Bounded(response.stream)
    await response.aread()
    if not response.is_success:
        raise HttpFailure(response)
    try:
        response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return  # a page of somebody else, or nothing: who asked says so
    except (ValueError, RecursionError) as err:  # a number of thousands of digits, ten thousand brackets
        raise UnusableAnswer(f"the answer cannot be decoded: {err}") from err


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
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def retry_after(header: str | None) -> float | None:
    """`Retry-After` in seconds, bounded; None when absent or a date (RFC 9110 §10.2.3 allows both)."""
    if header is None or not (header.isascii() and header.strip().isdigit()):
        return None
    return min(float(header), LONGEST_WISH_S)
