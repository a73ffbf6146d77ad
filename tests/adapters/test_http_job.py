"""HTTP jobs against real loopback servers, well-meaning and other ones."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.adapters.http_job import MOST_REDIRECTS, PIECE, HttpJobs
from agent.model import HttpCall
from agent.ports import HttpEnd
from agent.run.cancel import CancelSwitch
from tests.support.http_server import Asked, plain, serving
from tests.support.waiting import paced, wait_until

FLOOD = 64 * 2**20


class Heard:
    """The output, and how large its largest piece was."""

    def __init__(self, keep: bool = True) -> None:
        self.text = b""
        self.total = 0
        self.largest = 0
        self._keep = keep

    def feed(self, stream: str, data: bytes) -> None:
        assert stream == "stdout"
        self.total += len(data)
        self.largest = max(self.largest, len(data))
        if self._keep:
            self.text += data


class Caller:
    """The adapter, and short ways to call."""

    def __init__(self) -> None:
        self.jobs = HttpJobs()
        self.heard = Heard()
        self.cancel = CancelSwitch()

    async def send(self, url: str, *, timeout_s: float = 10, **call) -> HttpEnd:
        return await self.jobs.send(HttpCall(url=url, **call), timeout_s, self.heard, self.cancel)


@pytest.fixture
async def caller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    caller = Caller()
    yield caller
    await caller.jobs.aclose()


async def test_the_request_is_the_one_declared_and_the_answer_is_the_output(caller: Caller):
    async with serving(
        plain(b'{"ok": true}', "201 Created", Content_Type="application/json", Set_Cookie="s=1")
    ) as server:
        end = await caller.send(f"{server.url}/a?b=c", method="PUT", headers={"X-Key": "é"}, body=b"hello")
    assert end == HttpEnd(status=201, phrase="Created")
    assert caller.heard.text.decode().splitlines() == [
        "HTTP/1.1 201 Created",
        "content-type: application/json",
        "content-length: 12",
        "",
        '{"ok": true}',
    ]
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", "/a?b=c", b"hello")
    assert (asked.headers["x-key"], asked.headers["user-agent"]) == ("é", "cronmirror")


async def test_one_warm_connection_serves_many_runs_and_keeps_no_cookie(caller: Caller):
    async with serving(plain(Set_Cookie="session=of-another-job; Path=/")) as server:
        for _ in range(3):
            await caller.send(server.url)
    assert server.connections == 1
    assert [asked.headers.get("cookie") for asked in server.asked] == [None] * 3


async def test_credentials_in_the_url_become_a_header(caller: Caller):
    async with serving(plain()) as server:
        await caller.send(server.url.replace("://", "://me:secret@"))
    assert server.asked[0].headers["authorization"] == "Basic bWU6c2VjcmV0"


# ── redirects ───────────────────────────────────────────────────────────────


async def test_a_redirect_is_an_answer_unless_it_is_to_be_followed(caller: Caller):
    async with serving(plain(status="302 Found", Location="https://example.com/path?token=x")) as server:
        end = await caller.send(server.url)
    assert end == HttpEnd(status=302, phrase="Found", location="https://example.com")
    async with serving(plain(status="302 Found", Location="http://[nonsense")) as server:
        end = await caller.send(server.url)
    assert end == HttpEnd(status=302, phrase="Found", location="an address that is none")


async def test_within_a_host_everything_is_taken_along(caller: Caller):
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"here") if asked.path == "/b" else plain(status="307 Temporary", Location="/b"))

    async with serving(answer) as server:
        end = await caller.send(server.url, method="POST", body=b"x", headers={"X-Key": "k"}, follow_redirects=True)
    assert end.status == 200
    assert [(asked.method, asked.body, asked.headers["x-key"]) for asked in server.asked] == [("POST", b"x", "k")] * 2
    assert b"HTTP/1.1 307 Temporary\nlocation: /b\n" in caller.heard.text.replace(b"content-length: 0\n", b"")


async def test_after_303_a_post_is_a_get_without_its_body(caller: Caller):
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(plain() if asked.path == "/b" else plain(status="303 See Other", Location="b"))

    async with serving(answer) as server:
        await caller.send(
            f"{server.url}/", method="POST", body=b"x", headers={"Content-Type": "text/plain"}, follow_redirects=True
        )
    assert (server.asked[1].method, server.asked[1].body) == ("GET", b"")
    assert "content-type" not in server.asked[1].headers


async def test_another_host_is_told_no_header_of_the_job(caller: Caller):
    secrets = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "c=1", "Accept": "text/plain"}
    async with serving(plain()) as other, serving(plain(status="302 Found", Location=f"{other.url}/x")) as server:
        with_password = server.url.replace("://", "://me:secret@")
        end = await caller.send(with_password, headers=secrets, follow_redirects=True)
    assert end.status == 200
    (asked,) = other.asked
    assert set(asked.headers) == {"host", "connection", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize(
    ("status", "location", "said"),
    [
        (
            "307 Temporary Redirect",
            "http://127.0.0.1:1/",
            "another host, http://127.0.0.1:1, which is not sent the body",
        ),
        ("308 Permanent Redirect", "file:///etc/passwd", "not http(s)"),
        ("307 Temporary Redirect", "http://[nonsense/", "could not be sent"),
        ("303 See Other", "http://127.0.0.1:1/", "http://127.0.0.1:1 refused the connection"),
        ("307 Temporary Redirect", "/", f"more than {MOST_REDIRECTS} times"),
    ],
)
async def test_a_redirect_that_is_not_followed_says_why(caller: Caller, status: str, location: str, said: str):
    async with serving(plain(status=status, Location=location)) as server:
        end = await caller.send(server.url, method="POST", body=b"secret", follow_redirects=True)
    assert said in (end.error or "")


# ── what goes wrong ─────────────────────────────────────────────────────────


async def test_an_end_in_mid_body_is_no_success(caller: Caller):
    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.close()

    async with serving(answer) as server:
        end = await caller.send(server.url)
    assert "broke off before its answer was whole" in (end.error or "")
    assert caller.heard.text.endswith(b"half")


async def test_what_is_no_http_is_told(caller: Caller):
    async with serving(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as server:
        end = await caller.send(server.url)
    assert "broke off" in (end.error or "")


async def test_a_refused_connection_names_the_host_alone(caller: Caller):
    async with serving(plain()) as server:
        pass
    end = await caller.send(f"{server.url}/hook?token=secret")
    assert end.error == f"{server.url} refused the connection; is the service running there, and the port right?"


async def test_a_name_that_nobody_knows(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    async def nobody(*_: object, **__: object) -> None:

        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
    end = await caller.send("http://nobody.invalid/")
    assert "The name in http://nobody.invalid could not be resolved" in (end.error or "")


async def test_a_certificate_of_nobody_is_not_trusted(caller: Caller, tmp_path: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    async with serving(plain(b"x"), tls=context) as server:
        end = await caller.send(server.url, method="POST", body=b"secret")
        assert "is not to be trusted" in (end.error or "")
        assert server.asked == []
        trusting = HttpJobs(trust=ssl.create_default_context(cafile=tmp_path / "both.pem"))
        assert (await trusting.send(HttpCall(url=server.url), 10, caller.heard, caller.cancel)).status == 200
        await trusting.aclose()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"url": "http://[::1", "method": "GET"}, "could not be sent"),
        ({"url": "http://127.0.0.1/", "headers": {"X": "\N{SNOWMAN}"}}, "could not be sent"),
    ],
)
async def test_what_cannot_be_sent_is_told(caller: Caller, call: dict, said: str):
    assert said in ((await caller.send(**call)).error or "")


async def test_a_drip_does_not_outlast_the_timeout(caller: Caller):
    async def drip(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async for _ in paced(50):
            writer.write(b".")
            await writer.drain()

    async with serving(drip) as server:
        assert await caller.send(server.url, timeout_s=1) == HttpEnd(timed_out=True)
        await wait_until(lambda: server.closed == server.connections)


@pytest.mark.parametrize("by", ["cancel", "task"])
async def test_cancelling_ends_it_at_once(caller: Caller, by: str):
    async def silence(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(silence) as server:
        sending = asyncio.create_task(caller.send(server.url))
        await wait_until(lambda: server.asked)
        began = asyncio.get_running_loop().time()
        if by == "cancel":
            caller.cancel.set("cancelled")
            assert await sending == HttpEnd(cancelled=True)
        else:
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert asyncio.get_running_loop().time() - began < 1
    assert len(asyncio.all_tasks()) == 1


# ── floods ──────────────────────────────────────────────────────────────────


async def test_a_flood_passes_in_small_pieces(caller: Caller):
    async def flood(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {FLOOD}\r\n\r\n".encode())
        for _ in range(FLOOD // PIECE):
            writer.write(bytes(PIECE))
            await writer.drain()

    caller.heard = Heard(keep=False)
    async with serving(flood) as server:
        end = await caller.send(server.url)
    assert (end.status, caller.heard.total > FLOOD, caller.heard.largest <= 2 * PIECE) == (200, True, True)


async def test_a_bomb_is_unpacked_in_small_pieces(caller: Caller):
    caller.heard = Heard(keep=False)
    async with serving(plain(gzip.compress(bytes(FLOOD)) + b"behind its end", Content_Encoding="gzip")) as server:
        end = await caller.send(server.url)
    assert (end.status, caller.heard.largest) == (200, PIECE)
    assert FLOOD < caller.heard.total < FLOOD + 1000


async def test_what_cannot_be_unpacked_is_told(caller: Caller):
    async with serving(plain(b"no gzip at all", Content_Encoding="gzip")) as server:
        end = await caller.send(server.url)
    assert "cannot be unpacked" in (end.error or "")


def _certificate(folder: Path) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)

    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
