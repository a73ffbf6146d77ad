"""How large a request may be and how long it may take to arrive; before any route looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from agent.localstack.refusal import MAX_BODY, Refusal

MAX_URL = 32 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 48 * 1024
MAX_UNREAD = 64 * 1024
"""Of a head that has not ended, of a chunk's size, of trailers: what the parser would keep or read for ever."""
MAX_PARSED = 60 * 1024
"""Longer URLs the parser's 16-bit places do not hold."""
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
URL_TOO_LONG = b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HEAD_S = 20.0
BODY_S = 120.0


class Bounds:
    """ASGI middleware: 414, 431 and 413 at once, 408 when the body does not come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a clock on the body."""
        asks = scope["type"] in {"http", "websocket"}
        refused = (url_too_long(scope) or headers_too_large(scope["headers"])) if asks else None
        if refused:
            await refused.response()(scope, receive, send)
        else:
            await self._app(scope, in_time(receive) if scope["type"] == "http" else receive, send)


def in_time(receive: Receive) -> Receive:
    """`receive` with `BODY_S` for the whole body; Refusal (408) then."""
    end = asyncio.get_running_loop().time() + BODY_S
    arriving = True

    async def bounded() -> Message:
        nonlocal arriving
        if not arriving:  # what comes now is only that the client is gone
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError as err:
            raise _refusal(408, f"the request body did not arrive within {BODY_S:.0f} s") from err
        arriving = bool(message.get("more_body", False))
        return message

    return bounded


class Together:
    """A transport that sends what is written in one go in one go: the head of an answer with its body."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is as it was."""
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Sent by `flush`, or as soon as nobody writes any more."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        """Send what there is."""
        if self._held:
            self.transport.write(b"".join(self._held))
            self._held.clear()

    def close(self) -> None:
        """After what was written."""
        self.flush()
        self.transport.close()


class Connection(HttpToolsProtocol):
    """uvicorn's on httptools, without its ways of waiting or growing for ever.

    For the rest of a request's head (`HEAD_S`, `MAX_UNREAD`), and after a head that asks for a websocket and that the
    websocket library does not understand (too long, not GET, with a body): uvicorn says nothing to that, and stays
    connected.
    """

    _hang_up: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0
    _refused = False
    """Whatever else comes on this connection nobody looks at."""
    _unread = 0
    """Bytes since the parser last had something whole for us: a head, or a piece of a body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connected: a request has to follow."""
        super().connection_made(transport)
        self._together = Together(transport, self.loop)
        self.transport = cast("asyncio.Transport", self._together)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Either the head is whole by now, or its rest is still awaited."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_UNREAD:
            self._answer_and_close(TOO_LONG)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._unwatch()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins: from here on its bytes count."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._unread = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head only: what comes after a chunked body is no header of the request."""
        if self._in_head:
            self._head_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; one that the parser or the websocket library would not finish with is answered here."""
        self._in_head, self._unread = False, 0
        if self._refused:
            return
        if len(self.url) > MAX_PARSED:
            self._answer_and_close(URL_TOO_LONG)
        elif self._head_bytes > MAX_UNREAD:
            self._answer_and_close(TOO_LONG)
        elif not self.url.isascii() or (self._upgrades() and not self._could_open()):
            self._answer_and_close(BAD_REQUEST)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body, whose size is the application's business."""
        self._unread = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is whole."""
        self._together.flush()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """From here on Realtime has its own clocks; unless the library has already given up."""
        if self._refused:
            return
        self.transport = self._together.transport
        super().handle_websocket_upgrade()
        self._unwatch()
        if not getattr(self.transport.get_protocol(), "handshake_initiated", True):
            self._answer_and_close(BAD_REQUEST)

    def _upgrades(self) -> bool:
        return bool(self.parser.should_upgrade()) and self._should_upgrade()

    def _could_open(self) -> bool:
        """Whether a websocket may begin with this head: with another method or a body the parser waits for the rest."""
        names = {name for name, _ in self.headers}
        return self.parser.get_method() == b"GET" and not names & {b"content-length", b"transfer-encoding"}

    def _answer_and_close(self, answer: bytes) -> None:
        if not self._refused:
            self._refused = True
            self.transport.write(answer)
            self.transport.close()

    def _watch(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn declares it as set, and sets it later
        in_request = cycle is not None and not cycle.response_complete
        upgraded = self.transport.get_protocol() is not self
        if in_request or upgraded:
            self._unwatch()
        elif self._hang_up is None:
            self._hang_up = self.loop.call_later(HEAD_S, self.transport.close)

    def _unwatch(self) -> None:
        if self._hang_up:
            self._hang_up.cancel()
            self._hang_up = None


def url_too_long(scope: Scope) -> Refusal | None:
    """414, or None."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL:
        return _refusal(414, f"the URL is longer than {MAX_URL} characters")
    return None


def headers_too_large(headers: Collection[tuple[bytes, bytes]]) -> Refusal | None:
    """431, 413 for the body that they announce, or None."""
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return _refusal(431, f"there are more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them")
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > MAX_BODY:
            return _refusal(413, f"the request body is larger than {MAX_BODY} bytes")
    return None


def _refusal(status: int, message: str) -> Refusal:
    return Refusal(status, {"code": "PGRST_LOCAL", "details": None, "hint": None, "message": message})
