"""Answers every request with the bytes that the gateway would, and does nothing for it: the ceiling of any gateway.

`python -m bench.rivals.nothing_http '{"verb"}'` serves on a free port of loopback, with the same server and event loop
as the embedded stack: one line `{"url"}`, and it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn

from agent.localstack.bounds import Connection

ROW = b'[{"id":500,"body":"row 500","n":500}]'
JSON = (b"content-type", b"application/json; charset=utf-8")
ANSWERS: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {
    "select": (
        200,
        [
            (b"content-range", b"0-0/*"),
            JSON,
            (b"content-profile", b"public"),
            (b"content-location", b"/bench_rows?id=eq.500&select=id%2Cbody%2Cn"),
        ],
        ROW,
    ),
    "insert": (201, [(b"content-range", b"*/*"), (b"preference-applied", b"return=minimal")], b""),
    "rpc": (200, [(b"content-range", b"0-0/*"), JSON, (b"content-profile", b"public")], b"3"),
}


def application(verb: str) -> Any:
    """The ASGI application."""
    status, headers, body = ANSWERS[verb]
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [*headers, (b"content-length", str(len(body)).encode()), (b"vary", b"Origin")],
    }
    end = {"type": "http.response.body", "body": body}

    async def answer(_: Any, __: Any, send: Any) -> None:
        await send(start)
        await send(end)

    return answer


async def serve(verb: str) -> None:
    """Until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application(verb), http=Connection, log_config=None, access_log=False, server_header=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await task


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])["verb"]))
