"""A TCP proxy that counts what passes: requests and bytes by path. It can refuse Realtime, as a bad network does.

Counted are bytes of HTTP as they are on loopback, headers included; TLS would come on top. HTTP/1.1 without pipelining:
a client's write begins with a request line exactly when it is a new request.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65_536
REQUEST = re.compile(rb"^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) ([^ ?]+)")
REALTIME = "/realtime/"


@dataclass(kw_only=True)
class Traffic:
    """Since the last `reset`, by path (without its query)."""

    requests: Counter[str] = field(default_factory=Counter)
    up: Counter[str] = field(default_factory=Counter)
    """Bytes towards the server."""
    down: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        """Both ways, Realtime included."""
        return self.up.total() + self.down.total()


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
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    def reset(self) -> Traffic:
        """What was counted; counting begins anew."""
        before, self.traffic = self.traffic, Traffic()
        return before

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._guests.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._guests.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        path = [""]
        pumps = (
            asyncio.ensure_future(self._up(reader, server_writer, path)),
            asyncio.ensure_future(self._down(server_reader, writer, path)),
        )
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            server_writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: list[str]) -> None:
        while data := await reader.read(CHUNK):
            if not path[0].startswith(REALTIME) and (request := REQUEST.match(data)):
                path[0] = request[1].decode("latin-1")
                if path[0].startswith(REALTIME) and not self._realtime:
                    return
                self.traffic.requests[path[0]] += 1
            self.traffic.up[path[0]] += len(data)
            writer.write(data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: list[str]) -> None:
        while data := await reader.read(CHUNK):
            self.traffic.down[path[0]] += len(data)
            writer.write(data)
            await writer.drain()
