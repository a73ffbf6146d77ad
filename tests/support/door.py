"""A port in front of the gateway that a test shuts, opens, lets hang, or answer as something that is no Supabase."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self
from urllib.parse import urlsplit

from agent.pace import first

HTML = b"<!doctype html><title>Welcome</title><p>It works!"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """`url` is the same for its whole life; at first nobody listens there. Use `async with`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """The gateway is behind it."""
        await self._listen(self._forward)

    async def mislead(self) -> None:
        """A web server that knows nothing of Supabase and says 200 to everything."""
        await self._listen(_welcome)

    async def hang(self) -> None:
        """Somebody listens, and never says anything."""
        await self._listen(_say_nothing)

    async def shut(self) -> None:
        """Nobody listens, and whoever was inside is out."""
        if self._server:
            self._server.close()
            self._server = None
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    async def _listen(self, serve: Serve) -> None:
        await self.shut()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            guest = asyncio.current_task()
            assert guest is not None
            self._guests.add(guest)
            try:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await serve(reader, writer)
            finally:
                writer.close()
                self._guests.discard(guest)

        self._server = await asyncio.start_server(accept, "127.0.0.1", self._port)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _connection(*self._upstream) as (to_reader, to_writer):
            await first(_pump(reader, to_writer), _pump(to_reader, writer))


@contextlib.asynccontextmanager
async def _connection(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


async def _welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(HTML)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + HTML)
    await writer.drain()
