"""A web page that the same browser shows: it reaches the gateway on loopback, and has no key."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.adapters.supabase.realtime import SupervisedRealtime
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import open_http
from tests.security.conftest import CallAs
from tests.support.misbehaving_supabase import ANON, EMAIL, PASSWORD, MisbehavingSupabase, WallClock
from tests.support.parties import SWIFT, running
from tests.support.stack import Project, StackThread
from tests.support.waiting import wait_until

EVIL = "https://evil.example"
PATHS = (
    *("/rest/v1/cron_run_requests", "/rest/v1/rpc/cron_request_run", "/rest/v1/", "/auth/v1/token?grant_type=password"),
    *("/auth/v1/user", "/auth/v1/admin/users", "/auth/v1/settings", "/auth/v1/health", "/storage/v1/object", "/x"),
)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:54321", "127.0.0.1", "localhost"])
async def test_without_a_key_nothing_is_told_or_done_whatever_name_leads_here(stack: StackThread, host: str) -> None:
    """DNS rebinding makes the page same-origin: it is not answered at all, and there is no cookie to be given."""
    port = urlsplit(stack.url).port
    headers = {"host": f"{host}:{port}" if ":" not in host else host, "origin": EVIL, "cookie": "sb-access-token=x"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers) as page:
        for path in PATHS:
            for answer in (await page.get(path), await page.post(path, content="a=1")):
                assert answer.status_code in ((421,) if "evil" in host else (401, 404, 501)), (path, answer.text)
                assert "set-cookie" not in answer.headers
                assert stack.keys.publishable_key not in answer.text


async def test_a_forged_form_or_image_of_a_page_changes_nothing(
    project: Project, call_as: CallAs, stack: StackThread
) -> None:
    """What a page may send without asking first: simple methods, simple content types, no headers of its own."""
    row = f'{{"project_id": "{project.project_id}", "job_id": "a"}}'
    async with httpx.AsyncClient(base_url=stack.url, headers={"origin": EVIL}) as page:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            for path in ("/rest/v1/cron_run_requests", "/rest/v1/rpc/cron_request_run", "/auth/v1/admin/users"):
                answer = await page.post(path, content=row, headers={"content-type": kind})
                assert answer.status_code == 401
    assert project.sql("select 1 from cron_run_requests where project_id = %s", project.project_id) == []
    # With the key (of the page's own visitor) it is a stranger like any other.
    assert (await (await call_as()).insert()).status_code == 401


async def test_cors_lets_pages_ask_with_their_own_keys_and_never_with_the_browsers(stack: StackThread) -> None:
    asked = {"origin": EVIL, "access-control-request-method": "POST", "access-control-request-headers": "apikey"}
    async with httpx.AsyncClient(base_url=stack.url) as page:
        for answer in (
            await page.options("/rest/v1/cron_runs", headers=asked),
            await page.get("/rest/v1/cron_runs", headers={"origin": EVIL}),
        ):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers
            assert "access-control-allow-private-network" not in answer.headers


@pytest.mark.parametrize("query", ["", "?apikey=", "?apikey=x", "?apikey=eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYW5vbiJ9."])
async def test_a_websocket_of_a_page_without_the_key_is_not_opened(stack: StackThread, query: str) -> None:
    address = stack.url.replace("http", "ws") + "/realtime/v1/websocket" + query
    with pytest.raises(InvalidStatus) as caught:
        async with connect(address, origin=EVIL, additional_headers={"cookie": "sb-access-token=x"}):
            pass
    assert caught.value.response.status_code == 401


async def test_a_filter_of_megabytes_does_not_hold_up_everybody_else(stack: StackThread) -> None:
    """Whoever has the public key may send one; it is the agent's Realtime, too."""
    address = f"{stack.url.replace('http', 'ws')}/realtime/v1/websocket?vsn=1.0.0&apikey={stack.keys.publishable_key}"
    binding = {"event": "*", "schema": "public", "table": "cron_runs", "filter": 'job_id=eq."' + "\\a" * 700_000}
    config = {"config": {"postgres_changes": [binding]}}
    join = json.dumps({"topic": "realtime:x", "event": "phx_join", "ref": "1", "payload": config})
    async with connect(address, max_size=None) as socket, httpx.AsyncClient(base_url=stack.url) as page:
        await socket.send(join)
        await socket.recv()
        answer = await page.get("/", timeout=3)
        assert answer.is_success
        async with asyncio.timeout(10):
            while "a filter of more than" not in str(await socket.recv()):
                pass


async def test_nobody_can_name_the_topic_on_which_an_agent_listens() -> None:
    """Public topics take broadcasts of anybody who has the key: a flood would be the agent's to read."""
    async with MisbehavingSupabase().serving() as fake, open_http() as http:
        target = Target(url=fake.url, key=ANON, email=EMAIL, password=PASSWORD, realtime_url=fake.realtime.url)
        session = Session(target, http=http, clock=WallClock(), load=lambda: None, save=lambda _: None)
        realtime = SupervisedRealtime(target, session, clock=WallClock(), project="p", agent_id="mac", pace=SWIFT)
        topics: set[str] = set()

        def another() -> bool:
            found = {topic for topic, _, _ in fake.realtime.joined.values()} - topics
            topics.update(found)
            return bool(found)

        async with running(realtime.run()):
            for _ in range(3):
                await wait_until(another)
                fake.realtime.cut()
        await session.aclose()
    assert len(topics) == 3
    assert all(re.fullmatch(r"realtime:cronmirror:p:mac:[0-9a-f]{16}", topic) for topic in topics)
