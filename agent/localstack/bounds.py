"""How large a request may be and how long it may take to arrive; before any route looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

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
LATE_BODY = b'{"code":"PGRST_LOCAL","details":null,"hint":null,"message":"the request body did not arrive in time"}'
LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\naccess-control-allow-origin: *\r\n"
    b"content-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n\r\n%b" % (len(LATE_BODY), LATE_BODY)
)
Turn = tuple[RequestResponseCycle, ASGI3Application]
"""A request, and what answers it."""
WHOLE_ANSWER = "cronmirror.whole_answer"
"""Where the scope has a function that takes status, headers and body at once."""


class Bounds:
    """ASGI middleware: 414, 431 and 413 at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        asks = scope["type"] in {"http", "websocket"}
        refused = (url_too_long(scope) or headers_too_large(scope["headers"])) if asks else None
        if refused:
            await refused.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


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

    def is_closing(self) -> bool:
        """Asked at each answer: `__getattr__` takes longer."""
        return self.transport.is_closing()

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
    connected. What uvicorn makes for each request, and this once for a connection: the timer that ends it when it is
    idle, and the task that runs the application.
    """

    _hang_up: asyncio.TimerHandle | None = None
    _late: asyncio.TimerHandle | None = None
    """Ends a body that does not come: 408."""
    _idle: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    """When the last answer was whole; None while there is a request."""
    _next: asyncio.Future[Turn | None] | None = None
    """What the connection's task waits for: the next request."""
    _over = False
    """No request will follow: it is closed, or a websocket."""
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
        self._idle_since = None
        super().data_received(data)
        if self._unread > MAX_UNREAD:
            self._answer_and_close(TOO_LONG)
        self._watch()
        if self._late is None and self._awaits_body():
            self._late = self.loop.call_later(BODY_S, self._body_did_not_come)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self._unwatch()
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins: from here on its bytes count."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._unread = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head only: what comes after a chunked body is no header of the request."""
        if self._in_head:
            self._head_bytes += len(name) + len(value)
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; one that the parser or the websocket library would not finish with is answered here."""
        self._in_head, self._unread = False, 0
        if self._refused:
            return
        if len(self.url) > MAX_PARSED:
            self._answer_and_close(URL_TOO_LONG)
        elif self._head_bytes > MAX_UNREAD:
            self._answer_and_close(TOO_LONG)
        elif self._upgrades() and not self._could_open():
            self._answer_and_close(BAD_REQUEST)
        else:
            super().on_headers_complete()
            self.scope[WHOLE_ANSWER] = partial(self._answer_whole, self.cycle)  # type: ignore[literal-required]  # ours

    def on_body(self, body: bytes) -> None:
        """A piece of a body, whose size is the application's business."""
        self._unread = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is whole: the next one of those that came in one go, or a time of idleness, begins."""
        self._together.flush()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        """It may have been for so long; or for a while only, or not at all."""
        self._idle = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._idle = self.loop.call_later(left, self._look_whether_idle)
        else:
            self.timeout_keep_alive_handler()

    def _end(self) -> None:
        self._over = True
        if self._idle is not None:
            self._idle.cancel()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result((cycle, app))
            return
        task = self.loop.create_task(self._serve(cycle, app), name="localstack-connection")
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _serve(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """One request after the other; one that came while the one before it was answered has a task of its own."""
        turn: Turn | None = (cycle, app)
        task = asyncio.current_task()
        while turn is not None:
            cycle, app = turn
            await cycle.run_asgi(app)
            another_waits = self._next is not None and not self._next.done()
            if another_waits or self._over or (task is not None and task.cancelling()):
                return
            self._next = self.loop.create_future()
            turn = await self._next

    def handle_websocket_upgrade(self) -> None:
        """From here on Realtime has its own clocks; unless the library has already given up."""
        if self._refused:
            return
        self._end()
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

    async def _answer_whole(
        self, cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """What two messages to `send` would do, for headers that are known to be sound."""
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        lines = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            lines.append(body)
        cycle.response_started = cycle.response_complete = True
        self._together.flush()
        self._together.transport.write(b"".join(lines))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _awaits_body(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and cycle.more_body and not cycle.response_complete and not self._refused

    def _body_did_not_come(self) -> None:
        self._late = None
        if self._awaits_body():
            # What the application still says of this request nobody hears.
            answer = LATE if not self.cycle.response_started else b""
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._answer_and_close(answer)

    def _watch(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn declares it as set, and sets it later
        in_request = cycle is not None and not cycle.response_complete
        if in_request or self._over:
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
