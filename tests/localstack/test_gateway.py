"""The HTTP server itself: ports, CORS, limits, what happens when Postgres goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time

import httpx
import psycopg
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from agent.errors import StackError
from agent.localstack.gateway import Gateway
from agent.localstack.listen import Listen
from tests.localstack.clusters import take_port
from tests.localstack.conftest import Api
from tests.support.stack import StackThread
from tests.support.waiting import wait_until


async def test_it_listens_on_loopback_alone(bare: StackThread) -> None:
    assert bare.url.startswith("http://127.0.0.1:")
    own = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in {each for each in own if not str(each).startswith("127.")}:
        with socket.socket() as other:
            other.bind((address, bare.local._gateway.port))


async def test_a_taken_port_is_named_in_the_error() -> None:
    with socket.socket() as taken:
        port = take_port(taken)
        with pytest.raises(StackError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            await Gateway(port=port).start([])
        assert caught.value.hint


async def test_the_next_free_port_is_taken_when_asked_for() -> None:
    with socket.socket() as taken:
        gateway = Gateway(port=take_port(taken), next_free=True)
        await gateway.start([])
        assert gateway.port > taken.getsockname()[1]
        async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
            assert (await http.get(gateway.url)).json()["code"] == "PGRST_LOCAL"
        await gateway.stop()


async def test_a_port_is_free_again_after_a_stop_and_a_second_stop_is_nothing() -> None:
    with socket.socket() as taken:
        port = take_port(taken)
    first = Gateway(port=port)
    await first.start([])
    await first.stop()
    second = Gateway(port=first.port)
    await second.start([])
    await second.stop()
    await second.stop()


async def test_a_fault_of_ours_is_a_500_that_tells_nothing() -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("secret")

    gateway = Gateway()
    await gateway.start([Route("/broken", broken)])
    async with httpx.AsyncClient(verify=False, base_url=gateway.url) as http:  # noqa: S501 # plain HTTP
        answer = await http.get("/broken")
    await gateway.stop()
    assert (answer.status_code, answer.json()["code"]) == (500, "PGRSTX00")
    assert "secret" not in answer.text


async def test_a_client_that_is_killed_while_it_asks_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def read(request: Request) -> Response:
        began.set()
        try:
            await request.body()
        finally:
            ended.set()
        return Response()

    gateway = Gateway()
    await gateway.start([Route("/read", read, methods=["POST"])])
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf of")
        await began.wait()
        writer.transport.abort()
        await ended.wait()
        await gateway.stop()
    assert logs == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_unheard_of_methods_are_refused_too(anon: Api) -> None:
    for path in ("/", "/rest/v1/things", "/auth/v1/token"):
        answer = await anon.http.request("PROPFIND", path)
        assert (answer.status_code, answer.json()["code"]) == (501, "PGRST_LOCAL")


async def test_an_address_that_is_not_ours_is_reported() -> None:
    with pytest.raises(StackError, match=r"cannot listen on 192\.0\.2\.1"):
        await Gateway(listen=Listen(host="192.0.2.1", tls=None)).start([])


async def test_a_page_from_anywhere_may_ask(anon: Api) -> None:
    preflight = await anon.http.options(
        "/rest/v1/things",
        headers={
            "origin": "https://example.com",
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "apikey,authorization,prefer,x-client-info",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "prefer" in preflight.headers["access-control-allow-headers"]
    answer = await anon.get("/rest/v1/numbers?limit=1", origin="https://example.com")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    refused = await anon.http.get("/rest/v1/numbers", headers={"origin": "https://example.com"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")


async def test_small_answers_do_not_wait_for_nagle(anon: Api) -> None:
    """Nagle's algorithm and delayed acknowledgements together cost each answer 40 ms, the quickest one too."""
    quickest = 1.0
    for _ in range(20):
        began = time.monotonic()
        await anon.post("/rest/v1/rpc/add", {"a": 1})
        quickest = min(quickest, time.monotonic() - began)
    assert quickest < 0.035


async def test_a_body_over_the_limit_is_413_even_without_a_declared_length(anon: Api) -> None:
    async def flood() -> object:
        for _ in range(300):
            yield b" " * 65536

    headers = {"apikey": anon.key, "content-type": "application/json"}
    for content in (flood(), b" " * (17 * 1024 * 1024)):
        answer = await anon.http.post("/rest/v1/notes", headers=headers, content=content)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (413, "PGRST_LOCAL")


async def test_a_payload_of_five_megabytes_passes(service: Api) -> None:
    text = "x" * (5 * 1024 * 1024)
    answer = await service.post("/rest/v1/notes", {"body": text})
    assert answer.status_code == 201
    assert service.stack.sql("select length(body) from notes") == [{"length": len(text)}]


async def test_long_urls_and_many_parameters_are_refused(service: Api) -> None:
    long = await service.get("/rest/v1/things?n=in.(" + "1," * 20_000 + "1)")
    assert long.status_code == 414
    many = await service.get("/rest/v1/things?" + "&".join(["n=eq.1"] * 300))
    assert many.status_code == 400


async def test_a_flood_of_headers_does_not_take_the_server_down(bare: StackThread) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bare.local._gateway.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n")
    said = b""
    with contextlib.suppress(ConnectionError):  # it may hang up before it has read everything
        await writer.drain()
        said = await reader.read()
    assert said.startswith((b"HTTP/1.1 4", b"")), said
    writer.close()
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        assert (await http.get(bare.url)).status_code == 200


async def test_two_clients_work_side_by_side(api: Api, service: Api) -> None:
    answers = await asyncio.gather(
        *(each.get("/rest/v1/things?select=n&order=n") for _ in range(30) for each in (api, service))
    )
    assert {answer.text for answer in answers[0::2]} == {'[{"n":1}, \n {"n":2}]'}
    assert {len(answer.json()) for answer in answers[1::2]} == {3}


async def test_a_new_table_column_and_function_are_served_at_once(service: Api) -> None:
    service.stack.sql("create table fresh (id int); grant all on fresh to service_role")
    try:
        assert (await service.get("/rest/v1/fresh")).json() == []
        service.stack.sql("alter table fresh add column more text")
        await wait_until(lambda: _has_column(service), 5)
        service.stack.sql("create function fresh_function() returns int language sql as 'select 7'")
        assert await wait_until(lambda: _answers(service), 5) == "7"
    finally:
        service.stack.sql("drop table fresh; drop function if exists fresh_function()")
    await wait_until(lambda: _is_gone(service), 5)


async def _has_column(api: Api) -> bool:
    return (await api.get("/rest/v1/fresh?select=more")).status_code == 200


async def _answers(api: Api) -> str:
    answer = await api.post("/rest/v1/rpc/fresh_function", {})
    return answer.text if answer.status_code == 200 else ""


async def _is_gone(api: Api) -> bool:
    return (await api.get("/rest/v1/fresh")).json().get("code") == "PGRST205"


async def test_a_notify_reloads_the_schema_cache(service: Api) -> None:
    service.stack.sql("alter event trigger pgrst_ddl_watch disable; create table quiet (id int)")
    try:
        service.stack.sql("grant all on quiet to service_role; notify pgrst, 'reload schema'")
        await wait_until(lambda: "quiet" in _known(service), 5)
    finally:
        service.stack.sql("drop table quiet; alter event trigger pgrst_ddl_watch enable")


def _known(api: Api) -> str:
    return json.dumps([row["relname"] for row in api.stack.sql("select relname from pg_class where relname = 'quiet'")])


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_postgres_gone_is_a_clean_503_and_its_return_is_noticed(api: Api) -> None:
    stack = api.stack
    await asyncio.gather(*(api.get("/rest/v1/things?select=n") for _ in range(8)))
    await asyncio.to_thread(stack.stop_database)
    try:
        down = await api.get("/rest/v1/things?select=n")
        assert (down.status_code, down.json()["code"]) == (503, "PGRST000")
        assert down.json()["message"] == "Database connection error. Retrying the connection."
        signed_out = await api.post("/auth/v1/token?grant_type=password", {"email": "a@b.c", "password": "x"})
        assert (signed_out.status_code, signed_out.json()["error_code"]) == (500, "unexpected_failure")
    finally:
        await asyncio.to_thread(stack.start_database)
    answers = [await api.get("/rest/v1/things?select=n") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert (await api.get("/auth/v1/user")).status_code == 200
    stack.sql("create table after_restart (id int)")
    await wait_until(lambda: _served(api), 10)
    stack.sql("drop table after_restart")


async def _served(api: Api) -> bool:
    return (await api.get("/rest/v1/after_restart")).json().get("code") == "42501"


async def test_a_killed_postgres_comes_back_by_itself(api: Api) -> None:
    # It waits until that backend is gone: whom it serves at that moment gets a 503, and that is another test's.
    [backend] = api.stack.sql(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'authenticator' limit 1"
    )
    assert backend == {"pg_terminate_backend": True}
    answers = [await api.get("/rest/v1/things?select=n") for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}


async def test_a_request_that_its_backend_dies_under_is_503(api: Api) -> None:
    waiting = asyncio.create_task(api.post("/rest/v1/rpc/waits", {"seconds": 5}))
    await wait_until(lambda: _terminate(api.stack), 5)
    answer = await waiting
    assert answer.status_code == 503
    assert answer.json()["code"] in {"57P01", "PGRST001"}


def _terminate(stack: StackThread) -> list[dict[str, object]]:
    return stack.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%%waits%%' and state = 'active' "
        "and pid <> pg_backend_pid() and usename = 'authenticator'"
    )


async def test_the_pool_exhausted_is_504(api: Api) -> None:
    size = api.stack.local._options.pool_size
    api.stack.sql("create or replace function hold() returns void language sql as 'select pg_advisory_xact_lock(77)'")
    with psycopg.connect(api.stack.dsn) as holder:
        holder.execute("select pg_advisory_lock(77)")
        blocked = [asyncio.create_task(api.post("/rest/v1/rpc/hold", {})) for _ in range(size)]
        await wait_until(lambda: _holding(api.stack) == size, 10)
        answer = await api.get("/rest/v1/things?select=n")
        assert (answer.status_code, answer.json()["code"]) == (504, "PGRST003")
        holder.execute("select pg_advisory_unlock(77)")
        assert {(await each).status_code for each in blocked} <= {204, 500}
    api.stack.sql("drop function hold()")


def _holding(stack: StackThread) -> int:
    return int(stack.sql("select count(*) from pg_locks where locktype = 'advisory' and not granted")[0]["count"])
