"""The server of `cronmirror dashboard`: standard library, loopback, one person."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from agent.control.dashboard import Dashboard
from agent.control.page import Page
from agent.control.server import LoopbackServer
from agent.control.settings import Settings
from agent.errors import PermanentError
from tests.support.built_page import INDEX, make_page
from tests.support.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackServer]:
    settings = Settings(url="https://x.supabase.co", key="sb_publishable_abc")
    with LoopbackServer(Dashboard(Page(make_page(tmp_path / "page")), lambda: settings), 0) as running:
        yield running


@pytest.fixture
def http(server: LoopbackServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def test_it_serves_the_page_with_its_headers(http: httpx.Client) -> None:
    answer = http.get("/")
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert "wss://x.supabase.co" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers
    kept = http.get("/", headers={"if-none-match": answer.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")
    head = http.head("/")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(INDEX)))
    assert http.get("/config.json?x=1").json()["url"] == "https://x.supabase.co"


def raw(http: httpx.Client, path: bytes, method: bytes = b"GET", host: bytes = b"Host: localhost\r\n") -> bytes:
    """Byte by byte: clients tidy paths up."""
    with socket.create_connection(("127.0.0.1", http.base_url.port or 0), timeout=30) as connection:
        connection.sendall(method + b" " + path + b" HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
        told = b""
        while part := connection.recv(65536):
            told += part
    return told


@pytest.mark.parametrize(
    "path",
    [
        *(b"/../secret.txt", b"/%2e%2e/secret.txt", b"/..%2fsecret.txt", b"/%2e%2e%5csecret.txt", b"/out/secret.txt"),
        *(b"/link.txt", b"/index.html%00", b"/.env", b"/%ff%fe", b"/nothing", b"http://127.0.0.1/../secret.txt", b"*"),
    ],
)
def test_nothing_outside_of_the_page_is_read(http: httpx.Client, path: bytes) -> None:
    answer = raw(http, path)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"outside" not in answer


def test_other_names_other_methods_and_nonsense_are_refused_in_a_line(http: httpx.Client) -> None:
    for host in (b"Host: evil.example\r\n", b"", b"Host: localhost\r\nHost: evil.example\r\n", b"Host: <b>\r\n"):
        answer = raw(http, b"/", host=host)
        assert answer.startswith(b"HTTP/1.1 421 "), answer
        assert b"text/plain" in answer
        assert INDEX.encode() not in answer
    assert raw(http, b"/", b"POST").startswith(b"HTTP/1.1 501 ")
    assert raw(http, b"/" + b"a" * 70_000).startswith(b"HTTP/1.1 414 ")
    assert raw(http, b"/nothing", b"HEAD").endswith(b"\r\n\r\n")


def test_a_port_that_is_taken_is_named_with_what_to_do(server: LoopbackServer) -> None:
    port = httpx.URL(server.url).port or 0
    with pytest.raises(PermanentError, match=rf"port {port} of 127\.0\.0\.1 is in use by another program") as caught:
        LoopbackServer(server._dashboard, port).__enter__()
    assert "--port" in (caught.value.hint or "")


def test_a_port_that_may_not_be_listened_on_is_named_too(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    with pytest.raises(PermanentError, match=r"port 80 of 127\.0\.0\.1 cannot be listened on: Permission denied"):
        LoopbackServer(server._dashboard, 80).__enter__()


def test_it_listens_on_loopback_alone(server: LoopbackServer) -> None:
    assert server._server is not None
    assert server._server.socket.getsockname()[0] == "127.0.0.1"


async def test_a_browser_that_leaves_in_the_middle_breaks_nothing(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", http.base_url.port or 0)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    await wait_until(lambda: http.get("/").status_code == 200)
    assert capfd.readouterr().err == ""


def test_afterwards_the_port_is_free(tmp_path: Path, server: LoopbackServer) -> None:
    with LoopbackServer(server._dashboard, 0) as second:
        port = httpx.URL(second.url).port or 0
    with LoopbackServer(server._dashboard, port) as third:
        assert third.url == second.url


def test_it_answers_under_a_further_name_and_under_no_other(tmp_path: Path) -> None:
    settings = Settings(url="https://x.supabase.co", key="sb_publishable_abc")
    dashboard = Dashboard(Page(make_page(tmp_path / "page")), lambda: settings)
    with LoopbackServer(dashboard, 0, names={"cron.lan"}) as running, httpx.Client(base_url=running.url) as client:
        answers = {
            host: client.get("/", headers={"host": host}).status_code
            for host in (
                "cron.lan",
                "Cron.Lan:8443",
                "localhost",
                "evil.example",
                "x.cron.lan",
                "cron.lan.evil.example",
            )
        }
    assert answers == {
        "cron.lan": 200,
        "Cron.Lan:8443": 200,
        "localhost": 200,
        "evil.example": 421,
        "x.cron.lan": 421,
        "cron.lan.evil.example": 421,
    }
