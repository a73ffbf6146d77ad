"""Realtime subscribers in a process of their own, as light as they can be: what is measured is the server.

`python -m bench.listeners`: one JSON line `{"url", "key", "tokens", "binding"}` on standard input makes a subscriber of
each token; it says `{"ready": n}`. Then, for each line `{"rows": n}`, once everybody has n rows more (or nothing came
for a while), what came: how many were missing, and how late they were by the time that stands in the row.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import statistics
import struct
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from bench.stack_process import say

ROW = re.compile(rb'"id": (\d+).*?"sent": ([\d.e+-]+)')
SUBSCRIBED = b"Subscribed to PostgreSQL"
JOIN = "realtime:bench"
PATIENCE_S = 10.0
HEARTBEAT_S = 25.0
LENGTH_16, LENGTH_64 = 126, 127


class Listener(asyncio.Protocol):
    """One websocket: reads frames without a library, for there are many."""

    def __init__(self, host: str, key: str, token: str, binding: Any) -> None:
        self._host, self._key, self._token, self._binding = host, key, token, binding
        self._buffer = bytearray()
        self._upgraded = False
        self._transport: asyncio.WriteTransport
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seen: set[int] = set()
        self.late: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        path = f"/realtime/v1/websocket?apikey={self._key}&vsn=2.0.0"
        head = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        transport.write(f"{head}Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Frames, whole or not."""
        now = time.monotonic()
        self._buffer += data
        if not self._upgraded:
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._upgraded, self._buffer = True, bytearray(rest)
            config = {"postgres_changes": [self._binding], "presence": {"enabled": False}}
            self.send(["1", "1", JOIN, "phx_join", {"config": config, "access_token": self._token}])
            asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)
        at, size = 0, len(self._buffer)
        while size - at >= 2:
            length, begin = self._buffer[at + 1] & 0x7F, at + 2
            if length == LENGTH_16:
                length, begin = int.from_bytes(self._buffer[begin : begin + 2], "big"), begin + 2
            elif length == LENGTH_64:
                length, begin = int.from_bytes(self._buffer[begin : begin + 8], "big"), begin + 8
            if begin + length > size:
                break
            self._take(bytes(self._buffer[begin : begin + length]), now)
            at = begin + length
        del self._buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for ever."""
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError(f"closed before it was subscribed: {exc}"))

    def send(self, message: Any) -> None:
        """One masked text frame (the mask is zero: that is a mask, too)."""
        text = json.dumps(message).encode()
        assert len(text) < 1 << 16
        length = (
            bytes((0x80 | len(text),)) if len(text) < LENGTH_16 else struct.pack(">BH", 0x80 | LENGTH_16, len(text))
        )
        self._transport.write(b"\x81" + length + bytes(4) + text)

    def _beat(self) -> None:
        if not self._transport.is_closing():
            self.send([None, "h", "phoenix", "heartbeat", {}])
            asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _take(self, frame: bytes, now: float) -> None:
        row = ROW.search(frame)
        if row is not None:
            self.seen.add(int(row[1]))
            self.late.append((now - float(row[2])) * 1000)
        elif SUBSCRIBED in frame:
            self.subscribed.set_result(None)


async def serve() -> None:
    """Subscribe, then report as asked."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = json.loads(await lines.readline())
    host = urlsplit(order["url"])
    listeners = []
    for token in order["tokens"]:
        make = lambda token=token: Listener(host.netloc, order["key"], token, order["binding"])  # noqa: E731
        _, listener = await loop.create_connection(make, host.hostname, host.port)
        listeners.append(listener)
    await asyncio.gather(*(listener.subscribed for listener in listeners))
    say({"ready": len(listeners)})
    while line := await lines.readline():
        say(await _report(listeners, json.loads(line)["rows"]))


async def _report(listeners: list[Listener], rows: int) -> dict[str, Any]:
    seen, since = -1, time.monotonic()
    while True:
        now = sum(len(listener.seen) for listener in listeners)
        if now >= rows * len(listeners) or time.monotonic() - since > PATIENCE_S:
            break
        if now != seen:
            seen, since = now, time.monotonic()
        await asyncio.sleep(0.05)
    late = sorted(each for listener in listeners for each in listener.late)
    missing = sum(rows - len(listener.seen) for listener in listeners)
    twice = len(late) - sum(len(listener.seen) for listener in listeners)
    for listener in listeners:
        listener.seen.clear()
        listener.late.clear()
    cuts = statistics.quantiles(late, n=100, method="inclusive")
    return {"missing": missing, "twice": twice, "p50_ms": cuts[49], "p95_ms": cuts[94], "longest_ms": late[-1]}


if __name__ == "__main__":
    asyncio.run(serve())
