"""A TCP proxy between an agent and the gateway that does to HTTP what bad networks and busy servers do.

It reads requests and answers whole, so that an answer can be lost after the server has committed; a WebSocket is passed
through as it is, or frame by frame where `meddle` is set. Every request is written down in `seen`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from agent.pace import first
from tests.support.websocket_frames import Meddle, read_frame

_BODILESS = (204, 304)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that arrived: `at` by the monotonic clock, `path` without its query."""

    at: float
    method: str
    path: str


@dataclass(frozen=True, kw_only=True)
class _Message:
    """A request or an answer, with its body as it was on the wire."""

    first: str
    headers: dict[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        return self.first.split(" ")[1].split("?")[0]


class FaultProxy:
    """`url` stands in for the gateway's and stays the same whatever is done to it. Use `async with`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = ""
        self.seen: list[Seen] = []
        self.latency_s = 0.0
        """Before each request and each answer."""
        self.bytes_per_s = 0.0
        """How fast the line is in either direction; 0: as fast as it can be."""
        self.meddle: Meddle | None = None
        """What becomes of the frames that Realtime sends."""
        self.lost: Counter[str] = Counter()
        """Answers that were thrown away, by the end of their path."""
        self.late: list[tuple[str, bytes]] = []
        """Path and answer of each request that was held back and delivered late."""
        self._lose: Counter[str] = Counter()
        self._hold: Counter[str] = Counter()
        self._held: list[_Message] = []
        self._status, self._path_part = 0, ""
        self.answering = 0
        """How many requests are still to be answered by `answer_with`."""
        self._calls_flow, self._frames_flow = asyncio.Event(), asyncio.Event()
        self.flow()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._guests: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    # ── faults ──────────────────────────────────────────────────────────────

    async def cut(self) -> None:
        """Every connection is reset, nobody listens."""
        if self._server:
            self._server.close()
            self._server = None
        await self.reset()

    async def mend(self) -> None:
        """Undo `cut`."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def reset(self) -> None:
        """Every open connection is gone; new ones are welcome."""
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    def swallow(self, *, calls: bool = True, frames: bool = True) -> None:
        """A black hole: connections open, nothing comes through. What was sent arrives late, after `flow`.

        With one of the two alone the line is half open: REST lives and Realtime is silent, or the other way round.
        """
        if calls:
            self._calls_flow.clear()
        if frames:
            self._frames_flow.clear()

    def flow(self) -> None:
        """Undo `swallow`."""
        self._calls_flow.set()
        self._frames_flow.set()

    def lose_answers(self, path_end: str, times: int) -> None:
        """The server answers the next requests to this path, and its answer does not arrive."""
        self._lose[path_end] += times

    def hold_back(self, path_end: str) -> None:
        """The next request to this path stays on its way, and whoever sent it is cut off: it will be sent again."""
        self._hold[path_end] += 1

    @property
    def held(self) -> list[str]:
        """Paths of what is on its way."""
        return [request.path for request in self._held]

    async def deliver(self) -> None:
        """What was held back arrives at last."""
        while self._held:
            request = self._held.pop(0)
            async with _connection(*self._upstream) as server:
                server[1].write(request.raw)
                answer = await _read(server[0], request)
            self.late.append((request.path, answer.raw.partition(b"\r\n\r\n")[2]))

    def answer_with(self, status: int, times: int, path_part: str = "") -> None:
        """The next requests (whose path has this part) are answered with this status and do not reach the gateway."""
        self._status, self.answering, self._path_part = status, times, path_part

    # ── one connection ──────────────────────────────────────────────────────

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                async with _connection(*self._upstream) as server:
                    await self._serve((reader, writer), server)
        finally:
            _reset(writer)
            self._guests.discard(task)

    async def _serve(self, client: _Pipe, server: _Pipe) -> None:
        while True:
            request = await _read(client[0], None)
            self.seen.append(Seen(at=time.monotonic(), method=request.first.split(" ")[0], path=request.path))
            await self._calls(len(request.raw))
            if self._applies(self._hold, request.path):
                self._held.append(request)
                return
            if self.answering > 0 and self._path_part in request.path:
                self.answering -= 1
                client[1].write(_canned(self._status))
                continue
            if request.headers.get("upgrade", "").lower() == "websocket":
                server[1].write(_without_compression(request.raw))
                await self._tunnel(client, server)
                return
            server[1].write(request.raw)
            answer = await _read(server[0], request)
            await self._calls(len(answer.raw))
            if lost := self._applies(self._lose, request.path):
                self.lost[lost] += 1
                return
            client[1].write(answer.raw)
            await client[1].drain()

    async def _calls(self, size: int) -> None:
        """Wait for as long as so many bytes of HTTP take."""
        await self._slowly(size)
        await self._calls_flow.wait()

    async def _slowly(self, size: int) -> None:
        seconds = self.latency_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)
        if seconds:
            await asyncio.sleep(seconds)

    @staticmethod
    def _applies(wanted: Counter[str], path: str) -> str | None:
        """The end of this path for which a fault is wanted: one fewer from now on."""
        for end, left in wanted.items():
            if left > 0 and path.endswith(end):
                wanted[end] -= 1
                return end
        return None

    async def _tunnel(self, client: _Pipe, server: _Pipe) -> None:
        back = self._pump_frames if self.meddle else self._pump
        with contextlib.suppress(OSError, EOFError):
            await first(self._pump(client[0], server[1]), back(server[0], client[1]))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._slowly(len(data))
            await self._frames_flow.wait()
            writer.write(data)
            await writer.drain()

    async def _pump_frames(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The answer to the handshake, then frame by frame."""
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while True:
            frame = await read_frame(reader)
            await self._frames_flow.wait()
            for raw in self.meddle(frame) if self.meddle else [frame.raw]:
                writer.write(raw)
            await writer.drain()


_Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _read(reader: asyncio.StreamReader, request: _Message | None) -> _Message:
    """The next request, or the answer to `request`."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if request is not None and (request.first.startswith("HEAD ") or int(first.split(" ")[1]) in _BODILESS):
        body = b""
    elif "chunked" in headers.get("transfer-encoding", ""):
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Message(first=first, headers=headers, raw=head + body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    while True:
        size = await reader.readline()
        raw += size + await reader.readexactly(int(size, 16) + 2)
        if int(size, 16) == 0:
            return raw


def _without_compression(handshake: bytes) -> bytes:
    """The handshake of a WebSocket without its offer of extensions: frames can be read then."""
    lines = handshake.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"sec-websocket-extensions"))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST rather than FIN, as a router does that has forgotten it (SO_LINGER of 0 s)."""
    linger = struct.pack("ii", 1, 0)
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def _canned(status: int) -> bytes:
    body = b'{"message": "a fault that was asked for"}'
    head = f"HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextlib.asynccontextmanager
async def _connection(host: str, port: int) -> AsyncIterator[_Pipe]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
