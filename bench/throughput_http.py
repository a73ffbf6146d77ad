"""Asks the gateway as fast as it answers: `python -m bench.throughput_http '{"url", "verb", "connections", …}'`.

HTTP/1.1 as thin as can be (a request written, an answer of known length read), so that what is measured is the gateway
and not a client. An answer that is not 2xx ends it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from bench.figures import Figures, percentiles

WARM_UP_S = 0.2
FEWEST = 2
"""So many are waited for where the window of a quick look is too short for a busy machine."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

Ask = Callable[[], Awaitable[None]]


async def timed(asks: list[Ask], window_s: float) -> Figures:
    """Each ask again and again, side by side, after a warm-up: `{per_s, p50_ms, p95_ms}`."""
    took: list[float] = []
    begun = time.perf_counter() + WARM_UP_S
    ended = begun + window_s

    async def again(ask: Ask) -> None:
        while (before := time.perf_counter()) < ended or len(took) < FEWEST:
            await ask()
            after = time.perf_counter()
            if before >= begun and (after <= ended or len(took) < FEWEST):
                took.append((after - before) * 1000)

    await asyncio.gather(*(again(ask) for ask in asks))
    return {"per_s": round(len(took) / window_s, 1), **percentiles(took, 50, 95)}


class Line(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._verb = asked["verb"]
        self._sub = asked["sub"]
        self._head = (
            f"Host: {urlsplit(asked['url']).netloc}\r\napikey: {asked['key']}\r\n"
            f"Authorization: Bearer {asked['token']}\r\n"
            "Content-Type: application/json\r\nPrefer: return=minimal\r\n"
        )
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[None]
        self._got = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept until the window is over."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody may hang up on us."""
        if not self._answer.done():
            self._answer.set_exception(exc or RuntimeError("the gateway hung up"))

    def data_received(self, data: bytes) -> None:
        """An answer is whole when its head is and as much more as the head says."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._got = b""
        if head.startswith(b"HTTP/1.1 20"):
            self._answer.set_result(None)
        else:
            self._answer.set_exception(RuntimeError(f"the gateway said {head!r}"))

    async def ask(self) -> None:
        """One request and its answer."""
        self._answer = self._loop.create_future()
        self.transport.write(self._request())
        await self._answer

    def _request(self) -> bytes:
        if self._verb == "select":
            wanted = random.randrange(1000)  # noqa: S311 # any row
            return f"GET /rest/v1/bench_rows?select=id,body,n&id=eq.{wanted} HTTP/1.1\r\n{self._head}\r\n".encode()
        if self._verb == "insert":
            path, body = "bench_log", json.dumps({"owner": self._sub, "body": "something that happened"})
        else:
            path, body = "rpc/bench_add", '{"a": 1, "b": 2}'
        return f"POST /rest/v1/{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _length(head: bytes) -> int:
    found = LENGTH.search(head)
    return int(found[1]) if found else 0


async def main(asked: dict[str, Any]) -> Figures:
    """So many connections, until the window is over."""
    where = urlsplit(asked["url"])
    loop = asyncio.get_running_loop()
    lines = []
    for _ in range(asked["connections"]):
        _, line = await loop.create_connection(lambda: Line(asked), where.hostname, where.port)
        lines.append(line)
    figures = await timed([line.ask for line in lines], asked["window_s"])
    for line in lines:
        line.transport.close()
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))), flush=True)
