"""Beyond loopback: TLS, or a warning that nobody overlooks; and under which names one is answered there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from agent.control.dashboard import Dashboard
from agent.control.page import Page
from agent.control.settings import Settings
from agent.errors import StackError
from agent.localstack.gateway import Gateway
from agent.localstack.listen import Listen, Tls
from tests.support.built_page import make_page
from tests.support.certificate import make_tls

Start = Callable[..., Awaitable[Gateway]]


async def _scheme(request: Request) -> Response:
    return PlainTextResponse(request.url.scheme)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Gateway] = []

    async def begin(listen: Listen, **how: object) -> Gateway:
        gateway = Gateway(listen=listen, **how)  # type: ignore[arg-type]
        await gateway.start([Route("/rest/v1/scheme", _scheme)])
        started.append(gateway)
        return gateway

    yield begin
    for each in started:
        await each.stop()


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        *(("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("localhost", False)),
        *(("0.0.0.0", True), ("::", True), ("192.168.1.7", True), ("mac.lan", True)),  # noqa: S104 # only asked about
    ],
)
def test_what_is_not_loopback_is_exposed_and_warned_about(host: str, exposed: bool, tmp_path: Path) -> None:
    plain = Listen(host=host)
    assert (plain.exposed, bool(plain.warning)) == (exposed, exposed)
    assert Listen(host=host, tls=make_tls(tmp_path)).warning is None


def test_loopback_is_where_it_listens_unless_told() -> None:
    assert (Gateway().url, Gateway().warning) == ("http://127.0.0.1:0", None)


async def test_without_tls_the_warning_is_logged_at_every_start(start: Start) -> None:
    with capture_logs() as logs:
        gateway = await start(Listen(host="0.0.0.0"))  # noqa: S104 # that is the subject
    [warning] = [entry for entry in logs if entry["log_level"] == "warning"]
    assert "WITHOUT TLS" in warning["event"] == gateway.warning


async def test_on_loopback_nothing_is_warned_about(start: Start) -> None:
    with capture_logs() as logs:
        await start(Listen())
    assert logs == []


async def test_with_a_certificate_it_speaks_tls_alone(start: Start, tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    with capture_logs() as logs:
        gateway = await start(Listen(host="0.0.0.0", tls=tls, name="localhost"))  # noqa: S104 # that is the subject
    assert (gateway.url, logs) == (f"https://localhost:{gateway.port}", [])
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(tls.certificate))) as http:
        answer = await http.get(f"{gateway.url}/rest/v1/scheme")
        assert (answer.status_code, answer.text) == (200, "https")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{gateway.port}/rest/v1/scheme")


async def test_the_dashboard_is_told_to_come_back_by_tls(start: Start, tmp_path: Path) -> None:
    settings = Settings(key="sb_publishable_abc", project="demo", local=True)
    dashboard = Dashboard(Page(make_page(tmp_path / "page")), lambda: settings)
    tls = make_tls(tmp_path)
    gateway = await start(Listen(tls=tls), dashboard=dashboard)
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(tls.certificate))) as http:
        answer = await http.get(f"https://localhost:{gateway.port}/config.json")
    assert answer.json()["url"] == f"https://localhost:{gateway.port}"
    assert f"wss://localhost:{gateway.port}" in answer.headers["content-security-policy"]


async def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    other = make_tls(tmp_path)
    kept = other.key.read_bytes()
    good = make_tls(tmp_path)
    tls = Tls(certificate=tmp_path / "nothing.pem", key=good.key)
    with pytest.raises(StackError, match=r"nothing\.pem"):
        await Gateway(listen=Listen(tls=tls)).start([])
    good.key.write_bytes(kept)
    with pytest.raises(StackError, match=r"cert\.pem.*key\.pem"):
        await Gateway(listen=Listen(tls=good)).start([])


async def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    tls = make_tls(tmp_path, encryption=BestAvailableEncryption(b"secret"))
    with pytest.raises(StackError, match="the private key is encrypted") as caught:
        await Gateway(listen=Listen(tls=tls)).start([])
    assert "must not be encrypted" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("192.168.1.7", 200),
        ("192.168.1.7:54321", 200),
        ("[2001:db8::1]:54321", 200),
        ("cron.lan", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
        ("192.168.1.7.evil.example", 421),
        ("1", 421),
        ("2001:db8::1", 421),
        ("[127.0.0.1.evil]", 421),
        ("", 421),
    ],
)
async def test_beyond_loopback_any_address_is_answered_but_only_own_names(start: Start, host: str, status: int) -> None:
    """A page can rebind its own name to this machine, but not an address."""
    gateway = await start(Listen(host="0.0.0.0"), names={"cron.lan"})  # noqa: S104 # that is the subject
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        answer = await http.get(f"http://127.0.0.1:{gateway.port}/rest/v1/scheme", headers={"host": host})
    assert answer.status_code == status


async def test_on_loopback_an_address_of_the_network_is_no_name_of_ours(start: Start) -> None:
    gateway = await start(Listen())
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        answer = await http.get(f"{gateway.url}/rest/v1/scheme", headers={"host": "192.168.1.7"})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (Listen(), "http://127.0.0.1:5"),
        (Listen(host="0.0.0.0"), "http://127.0.0.1:5"),  # noqa: S104 # only asked about
        (Listen(host="::"), "http://[::1]:5"),
        (Listen(host="192.168.1.7"), "http://192.168.1.7:5"),
        (Listen(host="0.0.0.0", name="cron.lan"), "http://cron.lan:5"),  # noqa: S104 # only asked about
    ],
)
def test_the_url_is_one_that_others_can_use(listen: Listen, url: str) -> None:
    assert listen.url(5) == url


async def test_it_listens_on_ipv6_loopback(start: Start) -> None:
    gateway = await start(Listen(host="::1"))
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        assert (await http.get(f"{gateway.url}/rest/v1/scheme")).status_code == 200
