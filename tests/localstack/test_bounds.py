"""What is too large or too slow is refused before any route looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from agent.localstack import bounds, gateway
from agent.localstack.bounds import MAX_HEADERS, MAX_URL, Connection
from agent.localstack.gateway import Gateway
from agent.localstack.rest import Rest
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
    monkeypatch.setattr(bounds, "BODY_S", 0.05)
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
    monkeypatch.setattr(bounds, "BODY_S", 0.01)

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


# ── what the parser itself would take for ever ────────────────────────────────


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 62_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", b"414"),
        (b"GET /" + b"a" * 600_000, b"431"),
        (HEAD + b"x: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (HEAD + b"x: " + b"y" * 600_000, b"431"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2;" + b"z" * 600_000, b"4"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: " + b"y" * 600_000, b"4"),
        ("GET /rest/v1/echo?ä HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(), b"400"),
        (b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n", b"400"),
    ],
)
async def test_a_head_or_trailer_without_end_is_hung_up_on(served: Gateway, sent: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    with contextlib.suppress(ConnectionError):  # it may hang up before it has read everything
        writer.write(sent)
        await writer.drain()
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 " + status), answer
    writer.close()


async def test_what_comes_after_a_chunked_body_is_no_header_and_after_a_refusal_nothing(served: Gateway) -> None:
    chunks = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nok\r\n0\r\n" + b"x: y\r\n" * 200 + b"\r\n"
    assert b"200 OK" in await said(served.port, HEAD + chunks)
    second = b"GET /rest/v1/echo HTTP/1.1\r\nhost: localhost\r\n\r\n"
    answer = await said(served.port, b"GET /" + b"a" * 62_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n" + second)
    assert answer.count(b"HTTP/1.1 ") <= 1


# ── the same limits on the short way to /rest/v1 ──────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", f"/rest/v1/things?{'a' * MAX_URL}", {}, 414),
        ("GET", "/rest/v1/things", {f"x-{n}": "y" for n in range(MAX_HEADERS)}, 431),
        ("GET", "/rest/v1/things", {f"x-{n}": "y" * 5000 for n in range(10)}, 431),
        ("GET", "/rest/v1/things", {}, 401),
    ],
)
async def test_the_short_way_keeps_the_limits_and_lets_a_page_read_what_it_says(
    bare: StackThread, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with httpx.AsyncClient(verify=False, base_url=bare.url) as client:  # noqa: S501 # plain HTTP
        answer = await client.request(method, path, headers={"origin": "https://example.com"} | headers)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"content-length: 17000000\r\n\r\n", b"413"), (b"content-length: 10\r\n\r\nhalf", b"408")],
)
async def test_the_short_way_keeps_the_limits_of_bodies(
    bare: StackThread, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
) -> None:
    monkeypatch.setattr(bounds, "BODY_S", 0.05)
    head = b"POST /rest/v1/things HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += f"apikey: {bare.keys.publishable_key}\r\n".encode()
    answer = await said(bare.local._gateway.port, head + sent)
    assert answer.startswith(b"HTTP/1.1 " + status), answer


# ── what is made once for a connection ────────────────────────────────────────


async def test_an_idle_connection_is_ended_in_time_and_one_that_is_answered_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway, "KEEP_ALIVE_S", 0.5)
    go_on = asyncio.Event()

    async def wait(_: Request) -> Response:
        await go_on.wait()
        return PlainTextResponse("done")

    running = Gateway()
    await running.start([Route("/quick", _echo), Route("/slow", wait)])
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    ask = "GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n".format
    writer.write(ask("quick").encode())
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    (connection,) = connections(running)
    writer.write(ask("slow").encode())
    await wait_until(lambda: connection._idle is None, 5)  # it was looked whether it is idle
    go_on.set()
    assert b"200 OK" in await reader.readuntil(b"done")
    assert await reader.read() == b""
    writer.close()
    await running.stop()


async def test_requests_of_a_connection_share_a_task_that_ends_with_it(served: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    tasks = set()
    for _ in range(3):
        writer.write(HEAD + b"content-length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\nok")
        tasks |= tasks_of(served)
    assert len(tasks) == 1
    both = HEAD + b"content-length: 2\r\n\r\nok"
    writer.write(both + both)
    for _ in range(2):
        await reader.readuntil(b"\r\n\r\nok")
    await wait_until(lambda: len(tasks_of(served)) == 1, 5)
    writer.close()
    await wait_until(lambda: not tasks_of(served), 5)


async def test_a_connection_that_becomes_a_websocket_leaves_no_task_behind(bare: StackThread) -> None:
    port, key = bare.local._gateway.port, bare.keys.publishable_key
    others = tasks_of(bare.local._gateway)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"HEAD /auth/v1/health HTTP/1.1\r\nhost: localhost\r\napikey: {key}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    (task,) = tasks_of(bare.local._gateway) - others
    path = f"/realtime/v1/websocket?apikey={key}&vsn=2.0.0"
    head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    writer.write(f"{head}sec-websocket-version: 13\r\nsec-websocket-key: {'x' * 22}==\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    await wait_until(task.done, 5)
    writer.close()


def connections(running: Gateway) -> set[Connection]:
    """The open ones."""
    assert running._server is not None
    return cast("set[Connection]", running._server.server_state.connections)


def tasks_of(running: Gateway) -> set[asyncio.Task[None]]:
    """Those that run the application."""
    assert running._server is not None
    return set(running._server.server_state.tasks)


# ── answers on the short way are written by us ────────────────────────────────


def asking(stack: StackThread, line: str, *more: str) -> bytes:
    """A request with a key."""
    head = (line, "host: localhost", f"apikey: {stack.keys.secret_key}", *more)
    return "".join(f"{each}\r\n" for each in (*head, "")).encode()


async def test_requests_in_one_go_are_answered_one_after_the_other(table: StackThread) -> None:
    numbers = (1, 2, 3)
    lines = [f"GET /rest/v1/things?select=n&n=eq.{number} HTTP/1.1" for number in numbers]
    sent = b"".join(asking(table, line) for line in lines[:-1]) + asking(table, lines[-1], "connection: close")
    answer = await said(table.local._gateway.port, sent)
    assert [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [
        f'[{{"n":{number}}}]'.encode() for number in numbers
    ]
    assert answer.count(b"connection: close") == 1


async def test_http_1_0_and_head_are_answered_as_they_want_it(table: StackThread) -> None:
    port = table.local._gateway.port
    answer = await said(port, asking(table, "GET /rest/v1/things?select=n&n=eq.1 HTTP/1.0"))
    assert b"connection: close" in answer
    assert answer.endswith(b'\r\n\r\n[{"n":1}]')
    answer = await said(port, asking(table, "HEAD /rest/v1/things?select=n&n=eq.1 HTTP/1.1", "connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_fault_of_ours_on_the_short_way_is_a_500_that_tells_nothing(
    bare: StackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Response:
        raise RuntimeError("secret")

    monkeypatch.setattr(Rest, "answer", fails)
    answer = await said(bare.local._gateway.port, asking(bare, "GET /rest/v1/things HTTP/1.1", "connection: close"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"PGRSTX00" in answer
    assert b"secret" not in answer
