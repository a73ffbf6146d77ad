"""What stands before the API: names, the dashboard at `/`, links that open it signed in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.control.dashboard import Dashboard
from agent.control.hosts import is_ours
from agent.control.page import Page
from agent.control.settings import Settings
from agent.errors import StackError
from agent.localstack.front import host_of
from agent.localstack.gateway import Gateway
from agent.localstack.stack import LocalStack
from tests.localstack.conftest import Api
from tests.support.built_page import INDEX, SCRIPT, make_page
from tests.support.stack import StackThread


async def _api(_: Request) -> Response:
    return PlainTextResponse("the API")


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with a page and an API of three words; `cron.lan` was configured as one of its names."""
    settings = Settings(key="sb_publishable_abc", project="demo", local=True)
    page = Page(make_page(tmp_path / "page"))
    gateway = Gateway(dashboard=Dashboard(page, lambda: settings), names={"cron.lan"})
    methods = ["GET", "POST"]
    await gateway.start([Route("/rest/v1/{rest:path}", _api, methods=methods), Route("/", _api, methods=["POST"])])
    async with httpx.AsyncClient(verify=False, base_url=gateway.url) as client:  # noqa: S501 # plain HTTP
        yield client
    await gateway.stop()


async def test_the_page_lies_at_the_root_without_cors_and_with_its_policy(http: httpx.AsyncClient) -> None:
    page = await http.get("/", headers={"origin": "https://evil.example"})
    assert (page.status_code, page.text) == (200, INDEX)
    assert "access-control-allow-origin" not in page.headers
    assert page.headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    script = await http.get("/assets/index-C0ffee12.js")
    assert (script.text, "immutable" in script.headers["cache-control"]) == (SCRIPT, True)
    again = await http.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await http.head("/")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(INDEX)))


async def test_it_shadows_nothing_of_the_api(http: httpx.AsyncClient) -> None:
    """There is a file of that very name in the page's folder."""
    for path in ("/rest/v1/things.json", "/rest/v1/nothing"):
        assert (await http.get(path)).text == "the API"
    assert (await http.post("/")).text == "the API"
    assert (await http.post("/config.json")).status_code == 501
    for path in ("/nothing", "/auth/v1/user", "/.env", "/program.exe"):
        assert (await http.get(path)).json()["code"] == "PGRST_LOCAL"


async def test_no_path_of_the_wire_leads_out_of_the_page(http: httpx.AsyncClient) -> None:
    for path in (b"/../secret.txt", b"/%2e%2e/secret.txt", b"/..%2fsecret.txt", b"/%2e%2e%5csecret.txt", b"/link.txt"):
        with socket.create_connection(("127.0.0.1", http.base_url.port or 0)) as raw:
            raw.setblocking(False)
            raw.send(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            told = await _rest(raw)
        assert told.startswith(b"HTTP/1.1 501 "), told
        assert b"outside" not in told


async def test_the_settings_follow_the_name_it_was_asked_under(http: httpx.AsyncClient) -> None:
    """Through a tunnel the stack has another port than it thinks."""
    told = await http.get("/config.json", headers={"host": "localhost:8000"})
    expected = {"url": "http://localhost:8000", "key": "sb_publishable_abc", "project": "demo", "local": True}
    assert told.json() == expected
    assert "access-control-allow-origin" not in told.headers
    policy = (await http.get("/", headers={"host": "localhost:8000"})).headers["content-security-policy"]
    assert "http://localhost:8000 ws://localhost:8000" in policy


@pytest.mark.parametrize("path", ["/", "/config.json", "/rest/v1/things", "/open/x", "/nothing"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:54321", "localhost.evil.example", "192.168.1.2", ""])
async def test_a_rebound_name_learns_nothing(http: httpx.AsyncClient, path: str, host: str) -> None:
    answer = await http.get(path, headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "PGRST_LOCAL")
    assert "sb_publishable" not in answer.text
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_nor_does_it_by_the_short_way(bare: StackThread, method: str) -> None:
    """`/rest/v1` itself looks at a head once, and answers others with the same host, key and all."""
    asked = {"apikey": bare.keys.secret_key, "origin": "http://evil.example", "access-control-request-method": "GET"}
    async with httpx.AsyncClient(verify=False, base_url=bare.url) as http:  # noqa: S501 # plain HTTP
        for host, refused in (("localhost", False), ("evil.example", True)) * 2:
            answer = await http.request(method, "/rest/v1/rpc/nothing", headers={"host": host, **asked})
            assert (answer.status_code == 421, "access-control-allow-origin" in answer.headers) == (
                refused,
                not refused,
            )


def test_two_names_at_once_are_none_of_ours() -> None:
    """Servers differ in which of them they believe."""
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert not is_ours(host_of({"type": "http", "headers": headers}))


async def test_a_websocket_under_another_name_is_not_opened(bare: StackThread) -> None:
    address = f"{bare.url.replace('http', 'ws')}/realtime/v1/websocket?apikey={bare.keys.publishable_key}"
    async with connect(address):
        pass
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address.replace("127.0.0.1", "evil.localhost.example"), host="127.0.0.1"):
            pass
    assert caught.value.response.status_code == 421


async def test_a_configured_name_is_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/", headers={"host": "cron.lan"})).text == INDEX


async def test_a_stack_says_how_to_build_the_page_it_lacks(
    anon: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anon.stack.local._dashboard, "_page", Page(tmp_path / "nothing"))
    assert not anon.stack.local.has_page
    answer = await anon.http.get("/")
    assert (answer.status_code, "make page" in answer.text) == (200, True)


@pytest.fixture
def with_page(table: StackThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackThread:
    monkeypatch.setattr(table.local._dashboard, "_page", Page(make_page(tmp_path / "page")))
    return table


@pytest.fixture
def ann(table: StackThread) -> UUID:
    return table.create_user("ann@example.com", "pw-pw-pw")


async def test_a_link_opens_the_page_signed_in_each_time_with_another_session(
    with_page: StackThread, ann: UUID, anon: Api
) -> None:
    link = with_page.local.invite(ann)
    assert link.startswith(with_page.url + "/open/")
    refresh_tokens = set()
    for _ in range(2):
        answer = await anon.http.get(link)
        where = urlsplit(answer.headers["location"])
        assert (answer.status_code, where.path, answer.headers["cache-control"]) == (303, "/", "no-store")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert where.fragment.startswith("/signin?")
        tokens = parse_qs(where.fragment.removeprefix("/signin?"))
        refresh_tokens.add(tokens["refresh_token"][0])
        anon.token = tokens["access_token"][0]
        assert (await anon.get("/auth/v1/user")).json()["email"] == "ann@example.com"
    assert len(refresh_tokens) == 2


async def test_a_link_for_one_time_and_a_guessed_one_lead_nowhere(with_page: StackThread, ann: UUID, anon: Api) -> None:
    link = with_page.local.invite(ann, once=True)
    looked = await anon.http.head(link)
    assert (looked.status_code, looked.headers["location"]) == (303, "/")
    assert (await anon.http.get(link)).status_code == 303
    for path in (link, "/open/", "/open/x", "/open/" + "a" * 22):
        answer = await anon.http.get(path)
        assert answer.status_code in (404, 501)
        assert "location" not in answer.headers


async def test_a_link_waits_for_the_page_and_keeps_for_it(
    table: StackThread, ann: UUID, anon: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table.local._dashboard, "_page", Page(tmp_path / "page"))
    link = table.local.invite(ann, once=True)
    waiting = await anon.http.get(link)
    assert (waiting.status_code, "refresh" in waiting.text) == (200, True)
    make_page(tmp_path / "page")
    assert (await anon.http.get(link)).status_code == 303


def test_nobody_is_invited_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="has not been started"):
        LocalStack(tmp_path).invite(UUID(int=1))


async def _rest(raw: socket.socket) -> bytes:
    loop, told = asyncio.get_running_loop(), b""
    while part := await loop.sock_recv(raw, 65536):
        told += part
    return told
