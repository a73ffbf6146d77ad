"""How large a request may be and how long it may take to arrive; before any route looks at it."""

from __future__ import annotations

import asyncio
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from agent.localstack.refusal import MAX_BODY, Refusal

MAX_URL = 32 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 48 * 1024
"""uvicorn itself hangs up when a request's head is longer than 64 KiB."""
NO_WEBSOCKET = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HEAD_S = 20.0
BODY_S = 120.0


class Bounds:
    """ASGI middleware: 414, 431 and 413 at once, 408 when the body does not come."""

    def __init__(self, app: ASGIApp, *, body_s: float = BODY_S) -> None:
        self._app = app
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with a clock on the body."""
        refused = _too_large(scope)
        if refused:
            await refused.response()(scope, receive, send)
        else:
            body = receive if scope["type"] != "http" else self._in_time(receive)
            await self._app(scope, body, send)

    def _in_time(self, receive: Receive) -> Receive:
        end = asyncio.get_running_loop().time() + self._body_s
        arriving = True

        async def bounded() -> Message:
            nonlocal arriving
            if not arriving:  # what comes now is only that the client is gone
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError as err:
                raise _refusal(408, f"the request body did not arrive within {self._body_s:.0f} s") from err
            arriving = bool(message.get("more_body", False))
            return message

        return bounded


class Connection(H11Protocol):
    """uvicorn's, without its two ways of waiting for ever.

    For the rest of a request's head (`HEAD_S`), and after a head that asks for a websocket and that the websocket
    library does not understand (too long, not GET, with a body): uvicorn says nothing to that, and stays connected.
    """

    _hang_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Somebody connected: a request has to follow."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Either the head is whole by now, or its rest is still awaited."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._unwatch()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: object) -> None:
        """From here on Realtime has its own clocks; unless the library has already given up."""
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]  # h11's Request, which h11 does not type
        self._unwatch()
        if not getattr(self.transport.get_protocol(), "handshake_initiated", True):
            self.transport.write(NO_WEBSOCKET)
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


def _too_large(scope: Scope) -> Refusal | None:
    if scope["type"] not in ("http", "websocket"):
        return None
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL:
        return _refusal(414, f"the URL is longer than {MAX_URL} characters")
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return _refusal(431, f"there are more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them")
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > MAX_BODY:
            return _refusal(413, f"the request body is larger than {MAX_BODY} bytes")
    return None


def _refusal(status: int, message: str) -> Refusal:
    return Refusal(status, {"code": "PGRST_LOCAL", "details": None, "hint": None, "message": message})
