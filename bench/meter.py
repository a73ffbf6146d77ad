"""A TCP proxy that counts what passes: requests and bytes by path, Realtime's messages by event.

It can refuse Realtime, and cut every connection, as a bad network does. Counted are bytes of HTTP as they are on
loopback, headers included; TLS would come on top. HTTP/1.1 without pipelining: a client's write begins with a request
line exactly when it is a new request. Compression of WebSockets is refused on both sides' behalf, to read the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from agent.pace import first

CHUNK = 65_536
REQUEST = re.compile(rb"^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) ([^ ?]+)")
EXTENSIONS = re.compile(rb"\r\nsec-websocket-extensions:[^\r]*", re.IGNORECASE)
REALTIME = "/realtime/"
TEXT = 0x81
"""First byte of an unbroken text frame (RFC 6455, 5.2)."""
LENGTH_16, LENGTH_64 = 126, 127


@dataclass(kw_only=True)
class Traffic:
    """Since the last `reset`, by path (without its query)."""

    requests: Counter[str] = field(default_factory=Counter)
    up: Counter[str] = field(default_factory=Counter)
    """Bytes towards the server."""
    down: Counter[str] = field(default_factory=Counter)
    asked_at: dict[str, float] = field(default_factory=dict)
    """Monotonic time of the first request."""
    answered_at: dict[str, float] = field(default_factory=dict)
    """Monotonic time of the last byte from the server."""
    events: Counter[str] = field(default_factory=Counter)
    """Realtime's messages to the client: `postgres_changes`, `system`, `phx_reply`, …"""

    @property
    def calls(self) -> int:
        """Requests that are not a WebSocket's beginning."""
        return sum(count for path, count in self.requests.items() if not path.startswith(REALTIME))


class Meter:
    """`url` stands in for the gateway's. Use `async with`."""

    def __init__(self, upstream: str, *, realtime: bool = True) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._realtime = realtime
        self._server: asyncio.Server
        self._guests: set[asyncio.Task[None]] = set()
        self.url = ""
        self.traffic = Traffic()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.cut()

    def reset(self) -> Traffic:
        """What was counted; counting begins anew."""
        before, self.traffic = self.traffic, Traffic()
        return before

    async def cut(self) -> None:
        """Every open connection is gone; new ones are welcome."""
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await _Passage(self, reader, writer).pass_through(*self._upstream)
        finally:
            writer.transport.abort()
            self._guests.discard(task)

    def admits(self, path: str) -> bool:
        """Whether a request may pass; counted when it may."""
        if path.startswith(REALTIME) and not self._realtime:
            return False
        self.traffic.requests[path] += 1
        self.traffic.asked_at.setdefault(path, time.monotonic())
        return True


class _Passage:
    """One connection."""

    def __init__(self, meter: Meter, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._meter, self._reader, self._writer = meter, reader, writer
        self._path = ""
        self._frames = _Frames()

    async def pass_through(self, host: str, port: int) -> None:
        """Until one side closes."""
        from_server, to_server = await asyncio.open_connection(host, port)
        try:
            with contextlib.suppress(OSError, EOFError):
                await first(self._up(to_server), self._down(from_server))
        finally:
            to_server.transport.abort()

    async def _up(self, to_server: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(CHUNK):
            passed = data
            if not self._path.startswith(REALTIME) and (request := REQUEST.match(data)):
                self._path = request[1].decode("latin-1")
                if not self._meter.admits(self._path):
                    return
                if self._path.startswith(REALTIME):
                    passed = EXTENSIONS.sub(b"", data)
            self._meter.traffic.up[self._path] += len(data)
            to_server.write(passed)
            await to_server.drain()

    async def _down(self, from_server: asyncio.StreamReader) -> None:
        while data := await from_server.read(CHUNK):
            traffic = self._meter.traffic
            traffic.down[self._path] += len(data)
            traffic.answered_at[self._path] = time.monotonic()
            if self._path.startswith(REALTIME):
                traffic.events.update(_event(frame) for frame in self._frames.feed(data))
            self._writer.write(data)
            await self._writer.drain()


class _Frames:
    """Text frames of a server, which are not masked; others are passed over."""

    def __init__(self) -> None:
        self._left = b""
        self._upgraded = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The text of each frame that is complete now."""
        self._left += data
        if not self._upgraded:
            _, end, rest = self._left.partition(b"\r\n\r\n")
            if not end:
                return
            self._upgraded, self._left = True, rest
        while (frame := self._next()) is not None:
            kind, text = frame
            if kind == TEXT:
                yield text

    def _next(self) -> tuple[int, bytes] | None:
        left = self._left
        if len(left) < 2:
            return None
        length, begin = left[1] & 0x7F, 2
        if length in (LENGTH_16, LENGTH_64):
            begin = 4 if length == LENGTH_16 else 10
            length = int.from_bytes(left[2:begin], "big")
        if len(left) < begin + length:
            return None
        self._left = left[begin + length :]
        return left[0], left[begin : begin + length]


def _event(frame: bytes) -> str:
    """Of a Phoenix message, version 1 (an object) or 2 (an array, its event the fourth)."""
    message: Any = json.loads(frame)
    return str(message["event"] if isinstance(message, dict) else message[3])
