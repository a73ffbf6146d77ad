"""HTTP requests of jobs, over one warm client that they share and through which none of them sees another.

The answer is handed on as it comes, decoded in small steps: neither a flood nor a bomb of gzip fills memory.
Redirects are followed here and not by httpx, which takes a job's own headers (`X-Api-Key`) along to any host.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from agent.model import HttpCall
from agent.ports import CancelFlag, HttpCalls, HttpEnd, OutputSink

MOST_REDIRECTS: Final = 10
KEEP_WARM_S: Final = 15.0
"""Shorter than most servers keep an idle connection: one that they close meanwhile costs a request that may not be
sent twice."""
PIECE: Final = 1 << 16
"""Bytes that are unpacked at a time."""

_SHOWN = (
    "content-type",
    "content-length",
    "content-encoding",
    "location",
    "retry-after",
    "www-authenticate",
    "x-request-id",
)
"""Headers of an answer that matter to a person; `set-cookie` is the server's secret."""
_HARMLESS = {"accept", "accept-language", "user-agent"}
"""What another host may be told of a job's headers."""
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEPS_METHOD = (307, 308)
"""RFC 9110 §15.4: what comes of a POST otherwise is a GET, in all clients alike."""


class HttpJobs(HttpCalls):
    """`agent.ports.HttpCalls`. Close it."""

    def __init__(self, *, trust: ssl.SSLContext | None = None) -> None:
        """`trust`: what certificates are judged by; None: the usual authorities (or `SSL_CERT_FILE`)."""
        self._trust = trust
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def send(self, call: HttpCall, timeout_s: float, sink: OutputSink, cancel: CancelFlag) -> HttpEnd:
        """Send and take the whole answer in, as `stdout` of the sink; never raises for anything a server does."""
        talking = asyncio.create_task(self._guarded(call, sink), name="http request of a run")
        cancelled = asyncio.create_task(cancel.wait(), name="cancellation of a run")
        try:
            await asyncio.wait({talking, cancelled}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                return talking.result()
            return HttpEnd(cancelled=cancelled.done(), timed_out=not cancelled.done())
        finally:
            talking.cancel()
            cancelled.cancel()
            await asyncio.gather(talking, cancelled, return_exceptions=True)

    async def _guarded(self, call: HttpCall, sink: OutputSink) -> HttpEnd:
        try:
            return await self._talk(call, sink)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, zlib.error) as err:
            return HttpEnd(error=_why_not(err, _asked(err) or call.url))
        except _NotFollowed as err:
            return HttpEnd(error=str(err))

    async def _talk(self, call: HttpCall, sink: OutputSink) -> HttpEnd:
        for _ in range(MOST_REDIRECTS + 1):
            async with self._answer(call) as answer:
                sink.feed("stdout", _head(answer))
                location = answer.headers.get("location") if answer.status_code in _REDIRECTS else None
                if location is None or not call.follow_redirects:
                    async for data in _body(answer):
                        sink.feed("stdout", data)
                    phrase = answer.reason_phrase if answer.reason_phrase.isprintable() else ""
                    to = _pointed(call.url, location) if location else None
                    return HttpEnd(status=answer.status_code, phrase=phrase, location=to)
                call = _redirected(call, answer.status_code, location)
        raise _NotFollowed(
            f"{_host(call.url)} redirects more than {MOST_REDIRECTS} times, in a circle perhaps; mend it."
        )

    def _answer(self, call: HttpCall) -> _Answer:
        if self._client is None:
            self._client = _open(self._trust)
        return _Answer(self._client, call)


class _Answer:
    """An answer whose body has not been read; closed at the end, whatever is left of it."""

    def __init__(self, client: httpx.AsyncClient, call: HttpCall) -> None:
        self._client = client
        self._call = call

    async def __aenter__(self) -> httpx.Response:
        call = self._call
        headers = [(name.encode(), value.encode("latin-1")) for name, value in call.headers.items()]
        request = self._client.build_request(call.method, call.url, headers=headers, content=call.body)
        self._response = await self._client.send(request, stream=True)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        await self._response.aclose()


class _NotFollowed(Exception):
    """A redirect that is not followed; the text says where it leads and what to do."""


def _open(trust: ssl.SSLContext | None) -> httpx.AsyncClient:
    """No time limit (the run has one), no cookie kept, nothing compressed unless a job asks for it."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL, secrets in it included
    return httpx.AsyncClient(
        verify=trust or True,
        timeout=None,  # noqa: S113  # the whole run has one
        limits=httpx.Limits(keepalive_expiry=KEEP_WARM_S),
        headers={"accept-encoding": "identity", "user-agent": "cronmirror"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _head(answer: httpx.Response) -> bytes:
    """Status line and the headers that matter, as `curl -i` would show them."""
    shown = [f"{name}: {answer.headers[name]}\n" for name in _SHOWN if name in answer.headers]
    first = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}".rstrip()
    return f"{first}\n{''.join(shown)}\n".encode()


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    packed = answer.headers.get("content-encoding", "identity").lower() in ("gzip", "x-gzip", "deflate")
    unpack = zlib.decompressobj(32 + zlib.MAX_WBITS) if packed else None
    async for data in answer.aiter_raw():
        if unpack is None:
            yield data
            continue
        for piece in _unpacked(unpack, data):
            yield piece
            await asyncio.sleep(0)


def _unpacked(unpack: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data and not unpack.eof:
        piece = unpack.decompress(data, PIECE)
        if piece:
            yield piece
        data = unpack.unconsumed_tail


def _pointed(url: str, location: str) -> str:
    """The host that a redirect leads to."""
    try:
        return _host(urljoin(url, location))
    except ValueError:
        return _host(location)


def _redirected(call: HttpCall, status: int, location: str) -> HttpCall:
    """The request that a redirect asks for. Raises `_NotFollowed`."""
    url = urljoin(call.url, location)
    if urlsplit(url).scheme not in ("http", "https"):
        raise _NotFollowed(f"{_host(call.url)} redirects to something that is not http(s); correct `url` of the job.")
    if status not in _KEEPS_METHOD and call.method not in ("GET", "HEAD"):
        headers = {name: value for name, value in call.headers.items() if not name.lower().startswith("content-")}
        call = replace(call, method="GET", body=None, headers=headers)
    if _same_home(call.url, url):
        return replace(call, url=url)
    if call.body is not None:
        raise _NotFollowed(
            f"{_host(call.url)} redirects to another host, {_host(url)}, which is not sent the body; correct `url`."
        )
    harmless = {name: value for name, value in call.headers.items() if name.lower() in _HARMLESS}
    return replace(call, url=url, headers=harmless)


def _same_home(old: str, new: str) -> bool:
    """The same origin, or the same host with TLS now (RFC 6454; `http://a` → `https://a`)."""
    before, after = _origin(old), _origin(new)
    return before == after or (before[1] == after[1] and (before[0], before[2], after[2]) == ("http", 80, 443))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _host(url: str) -> str:
    """Scheme, host and port: neither path nor password, which may be secrets."""
    try:
        scheme, host, port = _origin(url)
    except ValueError:
        return "an address that is none"
    return f"{scheme}://{host}" if port == {"http": 80, "https": 443}.get(scheme) else f"{scheme}://{host}:{port}"


def _asked(err: Exception) -> str | None:
    """The URL that was asked last: after a redirect another one than the job's."""
    try:
        return str(err.request.url) if isinstance(err, httpx.RequestError) else None
    except RuntimeError:  # httpx's own, where it has not said so
        return None


def _why_not(err: Exception, url: str) -> str:
    """Why there is no whole answer: one sentence with the host, and what to do."""
    host, causes = _host(url), list(_causes(err))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"The name in {host} could not be resolved; correct `url`, or see whether this machine is online."
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of {host} is not to be trusted ({cause.verify_message}); nothing was sent."
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{host} refused the connection; is the service running there, and the port right?"
    if isinstance(err, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return f"{host} broke off before its answer was whole ({str(err) or type(err).__name__})."
    if isinstance(err, zlib.error):
        return f"{host} says that its answer is compressed, and it cannot be unpacked ({err})."
    if isinstance(err, httpx.ConnectError | httpx.ProxyError | OSError):
        return f"{host} could not be reached ({str(err) or type(err).__name__}); is this machine online?"
    return f"The request to {host} could not be sent ({str(err) or type(err).__name__}); correct `http` of the job."


def _causes(err: BaseException) -> Iterator[BaseException]:
    """An error lies under several wrappers (httpx, httpcore, anyio, a group of one per address)."""
    waiting: list[BaseException | None] = [err]
    while waiting:
        cause = waiting.pop()
        if cause is None:
            continue
        yield cause
        waiting += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
