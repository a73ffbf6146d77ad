"""Messages through apprise in a process of its own, to real servers on loopback; and pings over HTTP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.adapters.notify import AppriseCourier, channels
from agent.adapters.notify.courier import NOT_UNDERSTOOD
from agent.adapters.ping import HttpPinger
from tests.support.http_server import plain, serving
from tests.support.smtp import smtp_server

ROOT = Path(__file__).parents[2]
LETTER = {"title": "Büro backup failed", "body": "Exit code 1.\nOn Mac.", "severity": "critical"}


async def test_a_mail_arrives_whole() -> None:
    async with smtp_server() as mailbox:
        assert await AppriseCourier().send(mailbox.url(), **LETTER) is None
        (mail,) = mailbox.mails
        assert mail["subject"] == "Büro backup failed"
        assert mail["to"].endswith("me@example.com")
        text = mail.get_body(("plain", "html"))
        assert text is not None
        assert "Exit code 1." in text.get_content()


async def test_a_refused_mail_says_why() -> None:
    async with smtp_server() as mailbox:
        mailbox.refusal = "554 no such user here"
        error = await AppriseCourier().send(mailbox.url(), **LETTER)
    assert error is not None
    assert "mail" in error.lower()


async def test_a_webhook_gets_title_body_and_how_serious_it_is() -> None:
    async with serving(plain(b"ok")) as server:
        url = f"json://{server.url.removeprefix('http://')}/hook"
        assert await AppriseCourier().send(url, **LETTER) is None
    (asked,) = server.asked
    assert asked.path == "/hook"
    told = json.loads(asked.body)
    assert (told["title"], told["message"], told["type"]) == (LETTER["title"], LETTER["body"], "failure")


async def test_a_channel_that_refuses_or_is_not_there_says_so() -> None:
    async with serving(plain(b"", status="500 Internal Server Error")) as server:
        url = f"json://{server.url.removeprefix('http://')}"
        assert "500" in (await AppriseCourier().send(url, **LETTER) or "")
    assert "onnection error" in (await AppriseCourier().send(url, **LETTER) or "")


async def test_a_url_that_apprise_does_not_know_is_said() -> None:
    assert await AppriseCourier().send("nosuchservice://x", **LETTER) == NOT_UNDERSTOOD


async def test_a_channel_that_never_answers_is_given_up_and_its_process_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.2)
    assert await AppriseCourier().send("json://127.0.0.1", **LETTER) == "The channel did not answer within 0.2 s."


@pytest.mark.parametrize(
    ("program", "said"), [("/does/not/exist", "could not be started"), ("/bin/false", "broke down (exit code 1)")]
)
async def test_a_courier_that_cannot_work_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert said in (await AppriseCourier().send("json://127.0.0.1", **LETTER) or "")


def test_the_agent_itself_never_imports_apprise() -> None:
    """29 MiB that it would keep for ever."""
    code = "import sys, agent.app.agent; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


async def test_a_ping_is_a_get_or_a_post_with_what_there_is_to_tell() -> None:
    pinger = HttpPinger()
    async with serving(plain(b"OK")) as server:
        assert await pinger.ping(f"{server.url}/uuid/start?rid=1", "") is None
        assert await pinger.ping(f"{server.url}/uuid/fail", "Exit code 1.") is None
    await pinger.aclose()
    assert [(each.method, each.path, each.body) for each in server.asked] == [
        ("GET", "/uuid/start?rid=1", b""),
        ("POST", "/uuid/fail", b"Exit code 1."),
    ]


async def test_a_ping_that_is_not_heard_names_the_host_and_no_path() -> None:
    pinger = HttpPinger()
    async with serving(plain(b"", status="404 Not Found")) as server:
        assert await pinger.ping(f"{server.url}/secret-uuid", "") == "127.0.0.1 answered 404"
    error = await pinger.ping(f"{server.url}/secret-uuid", "")
    await pinger.aclose()
    await asyncio.sleep(0)
    assert error == "127.0.0.1 could not be asked (ConnectError)"
