"""What is too large or too slow is refused before any route looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from agent.localstack import bounds, gateway
from agent.localstack.bounds import MAX_HEADERS, MAX_URL, Bounds
from agent.localstack.gateway import Gateway
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

HEAD = b"POST /rest/v1/echo HTTP/1.1\r\nhost: localhost\r\n"


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


@pytest.fixture
async def served() -> AsyncIterator[Gateway]:
    running = Gateway()
    await running.start([Route("/rest/v1/echo", _echo, methods=["GET", "POST"])])
    yield running
    await running.stop()


@pytest.fixture
async def http(served: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False, base_url=served.url) as client:  # noqa: S501 # plain HTTP
        yield client


async def said(port: int, sent: bytes) -> bytes:
    """What is answered until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    finally:
        writer.close()
    return b""


@pytest.mark.parametrize("path", ["/rest/v1/echo", "/auth/v1/user", "/nothing", "/realtime/v1/api"])
async def test_a_url_over_the_limit_is_414_everywhere(http: httpx.AsyncClient, path: str) -> None:
    for long in (f"{path}?{'a' * MAX_URL}", f"{path}/{'a' * MAX_URL}"):
        answer = await http.get(long, headers={"origin": "https://example.com"})
        assert (answer.status_code, answer.json()["code"]) == (414, "PGRST_LOCAL")
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("GET", "a" * MAX_URL, b""),
        ("GET", "", b"x: " + b"y" * 10_000 + b"\r\n"),
        ("GET", "", b"".join(b"x-%d: y\r\n" % n for n in range(200))),
        ("GET", "", b"sec-websocket-version: 12\r\n"),
        ("GET", "", b"content-length: 5\r\n"),
        ("GET", "", b"transfer-encoding: chunked\r\n"),
        ("POST", "", b""),
    ],
)
async def test_a_websocket_that_cannot_be_opened_is_answered(
    bare: StackThread, method: str, query: str, headers: bytes
) -> None:
    """Uvicorn waits for ever after some of them."""
    path = f"/realtime/v1/websocket?apikey={bare.keys.publishable_key}&vsn=2.0.0&x={query}"
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n".encode()
    answer = await said(bare.local._gateway.port, head + headers + b"sec-websocket-key: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4"), answer


async def test_too_many_headers_or_bytes_of_them_are_431(http: httpx.AsyncClient) -> None:
    for headers in ({f"x-{n}": "y" for n in range(MAX_HEADERS)}, {f"x-{n}": "y" * 5000 for n in range(10)}):
        answer = await http.get("/rest/v1/echo", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (431, "PGRST_LOCAL")
    assert (await http.get("/rest/v1/echo", headers={"x": "y" * 30_000})).status_code == 200


async def test_a_declared_body_over_the_limit_is_413_before_it_is_sent(served: Gateway) -> None:
    answer = await said(served.port, HEAD + b"connection: close\r\ncontent-length: 99999999999999999999999\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 ")), answer
    answer = await said(served.port, HEAD + b"connection: close\r\ncontent-length: 17000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 "), answer


async def test_a_body_that_does_not_come_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Bounds.__init__.__kwdefaults__, "body_s", 0.05)
    running = Gateway()
    await running.start([Route("/rest/v1/echo", _echo, methods=["POST"])])
    answer = await said(running.port, HEAD + b"connection: close\r\ncontent-length: 10\r\n\r\nhalf")
    await running.stop()
    assert answer.startswith(b"HTTP/1.1 408 "), answer


@pytest.mark.parametrize("sent", [b"", b"GET /", HEAD, HEAD + b"x: "])
async def test_a_head_that_does_not_come_is_hung_up_on(
    served: Gateway, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.05)
    assert await said(served.port, sent) == b""


async def test_so_is_the_second_head_of_a_connection(served: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(HEAD + b"content-length: 2\r\n\r\nok")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\nok")
    writer.write(HEAD)
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_that_takes_long_is_not_hung_up_on(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.01)
    monkeypatch.setitem(Bounds.__init__.__kwdefaults__, "body_s", 0.01)

    async def parts() -> AsyncIterator[bytes]:
        began = time.monotonic()
        await wait_until(lambda: time.monotonic() > began + 0.1)  # ten times what a head or a body may take
        yield b"done"

    async def slow(request: Request) -> Response:
        await request.body()
        return StreamingResponse(parts()) if streamed else PlainTextResponse(b"".join([part async for part in parts()]))

    running = Gateway()
    await running.start([Route("/rest/v1/echo", slow, methods=["POST"])])
    answer = await said(running.port, HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nok")
    await running.stop()
    assert b"done" in answer, answer


async def test_a_websocket_is_not_hung_up_on(bare: StackThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_S", 0.05)
    address = f"{bare.url.replace('http', 'ws')}/realtime/v1/websocket?apikey={bare.keys.publishable_key}"
    async with connect(address) as socket:
        began = time.monotonic()
        await wait_until(lambda: time.monotonic() > began + 0.15)  # three times as long as a head may take
        await (await socket.ping())


async def test_who_comes_when_too_many_are_there_is_told_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MOST_CONNECTIONS", 2)
    running = Gateway()
    await running.start([Route("/rest/v1/echo", _echo, methods=["GET"])])
    waiting = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
    async with httpx.AsyncClient(verify=False, base_url=running.url) as client:  # noqa: S501 # plain HTTP
        assert (await client.get("/rest/v1/echo")).status_code == 503
    for _, writer in waiting:
        writer.close()
        await writer.wait_closed()
    await running.stop()
