"""The server that a browser comes back to."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from agent.adapters.oauth import Landing, Redirect
from agent.errors import Refused

STATE = "s" * 43


@pytest.fixture
def redirect():
    made = Redirect()
    yield made
    made.close()


async def visit(redirect: Redirect, query: str, path: str = "/callback", method: str = "GET") -> httpx.Response:
    root = redirect.uri.removesuffix("/callback")
    async with httpx.AsyncClient() as browser:
        return await browser.request(method, f"{root}{path}?{query}")


async def test_the_code_of_this_sign_in_is_taken(redirect):
    waiting = asyncio.create_task(redirect.landing(STATE, 15))
    await asyncio.sleep(0)
    answer = await visit(redirect, f"code=c-1&state={STATE}&realmId=7")
    landing = await waiting
    assert (landing.code, landing.error, landing.parameters["realmId"]) == ("c-1", None, "7")
    assert answer.status_code == 200
    assert "Signed in" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "c-1" not in answer.text + repr(landing)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("code=c-1", "/callback"),
        ("code=c-1&state=", "/callback"),
        ("code=c-1&state=another", "/callback"),
        (f"code=c-1&state={STATE}", "/favicon.ico"),
        (f"state={STATE}", "/callback"),
    ],
)
async def test_anything_else_is_not_and_the_sign_in_goes_on(redirect, query, path):
    waiting = asyncio.create_task(redirect.landing(STATE, 15))
    await asyncio.sleep(0)
    assert (await visit(redirect, query, path)).status_code == 404
    assert not waiting.done()
    await visit(redirect, f"code=c-2&state={STATE}")
    assert (await waiting).code == "c-2"


async def test_a_refusal_is_told(redirect):
    waiting = asyncio.create_task(redirect.landing(STATE, 15))
    await asyncio.sleep(0)
    answer = await visit(redirect, f"error=access_denied&error_description=No+thanks&state={STATE}")
    assert (await waiting).error == "access_denied: No thanks"
    assert "Not signed in" in answer.text


async def test_nothing_is_written_through_it(redirect):
    waiting = asyncio.create_task(redirect.landing(STATE, 15))
    await asyncio.sleep(0)
    assert (await visit(redirect, f"code=c&state={STATE}", method="POST")).status_code == 501
    await visit(redirect, f"error=e&state={STATE}")
    assert (await waiting).error == "e"


async def test_who_never_comes_back_is_not_waited_for_for_ever(redirect):
    assert await redirect.landing(STATE, 0.01) is None


async def test_it_listens_on_this_machine_alone_and_no_longer_than_needed():
    redirect = Redirect()
    parts = urlsplit(redirect.uri)
    assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/callback")
    await redirect.landing(STATE, 0.01)
    redirect.close()
    with socket.socket() as line, pytest.raises(ConnectionRefusedError):
        line.connect(("127.0.0.1", parts.port))


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=f"port {port} is not free"):
            Redirect(port)


def test_where_a_browser_ended_can_be_pasted():
    assert Landing.of(f"https://a.co/cb?code=1&state={STATE}", STATE).code == "1"
    assert Landing.of(f"https://a.co/cb?code=1&state={STATE}", "t") is None
    assert Landing.of("rubbish", STATE) is None
