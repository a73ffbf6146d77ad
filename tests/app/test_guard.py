"""When the watchdogs are fed, and a real agent on a real notification socket."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.sdnotify import SystemdNotify
from agent.adapters.watchdog import Watchdog
from agent.app.guard import Guard
from agent.errors import StateError
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_until

HEAD = 'project: alone\nagent: {id: mac}\nsupabase: {url: "http://127.0.0.1:9", key: sb_publishable_x}\n'


class Systemd:
    """The other end of `NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def hears(self, fact: str) -> int:
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard.count(fact)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with (one := Systemd(tmp_path / "s")).socket:
        yield one


class Journal:
    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()
        self.full = False

    async def ask(self) -> None:
        await self.answers.wait()
        if self.full:
            raise StateError("the disk is full")


async def test_systemd_is_fed_only_while_the_journal_answers_and_no_task_has_ended(systemd: Systemd) -> None:
    journal, failed = Journal(), [False]
    environ = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "30000"}
    guard = Guard(
        Watchdog(),
        SystemdNotify(environ),
        journal=journal.ask,
        failed=lambda: failed[0],
        status=lambda: "1 running",
    )
    task = asyncio.create_task(guard.tell())
    try:
        await fed(systemd)
        assert "STATUS=1 running" in systemd.heard
        journal.full = True
        await fed(systemd)
        for starve, feed in (
            (journal.answers.clear, journal.answers.set),
            (lambda: failed.__setitem__(0, True), lambda: failed.__setitem__(0, False)),
        ):
            starve()
            await asyncio.sleep(0)
            before = systemd.hears("WATCHDOG=1")
            with pytest.raises(AssertionError, match="not within"):
                await wait_until(lambda before=before: systemd.hears("WATCHDOG=1") > before + 1, 0.3)
            feed()
            await fed(systemd)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def fed(systemd: Systemd) -> None:
    before = systemd.hears("WATCHDOG=1")
    await wait_until(lambda: systemd.hears("WATCHDOG=1") > before)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_an_agent_says_when_it_is_ready_and_when_it_stops_and_its_jobs_know_nothing_of_it(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = f"jobs:\n  spy: {{schedule: '@startup', shell: 'env > {tmp_path}/env'}}\n"
    agent = AgentProcess(tmp_path / "agent", HEAD + jobs, {})
    around = {**agent.environment(), "NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "3000000"}
    monkeypatch.setattr(agent, "environment", lambda: around)
    agent.start()
    try:
        await wait_until(lambda: systemd.hears("READY=1"), 20)
        await wait_until(lambda: systemd.hears("WATCHDOG=1") >= 2, 20)
        assert any(fact.startswith("STATUS=") and "Supabase does not answer" in fact for fact in systemd.heard)
        await wait_until(lambda: (tmp_path / "env").exists() and "HOME=" in (tmp_path / "env").read_text())
        assert "NOTIFY_SOCKET" not in (tmp_path / "env").read_text()
        agent.signal(signal.SIGTERM)
        assert await asyncio.to_thread(agent.wait) == 0
        assert systemd.hears("STOPPING=1") == 1
    finally:
        agent.stop()
