"""`cronmirror local …` in real processes, on a folder of its own; whatever it left running is ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from agent.localstack.home import Home
from tests.support.agent_process import ROOT

PATIENCE_S = 60


class Local:
    """One stack and its verbs. `port` is one that was free."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.environ: dict[str, str] = {}
        """For its verbs, besides what they need anyway."""
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])

    def start_options(self) -> list[str]:
        return ["start", "--detach", "--port", str(self.port)]

    async def start(self) -> str:
        """In the background; what it said. The port is said the first time, and remembered from then on."""
        known = self.home.settings.port == self.port
        return await self.ok(*(["start", "--detach"] if known else self.start_options()))

    async def ok(self, *words: str, stdin: str = "") -> str:
        """Standard output of a verb that must succeed."""
        done = await self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A verb, whatever comes of it."""
        keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME") or "COV" in name}
        command = [sys.executable, "-m", "agent", "local", words[0], "--dir", str(self.home.folder), *words[1:]]
        return await asyncio.to_thread(
            lambda: subprocess.run(
                command,
                cwd=ROOT,
                env={**keep, "PYTHONPATH": str(ROOT), **self.environ},
                input=stdin,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        )

    async def facts(self) -> dict[str, Any]:
        """Of `status --json`."""
        return dict(json.loads((await self.run("status", "--json")).stdout))

    @property
    def pid(self) -> int:
        """Of the process that runs the stack."""
        holder = self.home.holder
        assert holder is not None
        return holder.pid

    def processes(self) -> list[psutil.Process]:
        """The stack's process and everything it started."""
        ours = psutil.Process(self.pid)
        return [ours, *ours.children(recursive=True)]

    @contextlib.asynccontextmanager
    async def signed_in(self, email: str, password: str) -> AsyncIterator[httpx.AsyncClient]:
        """As a page is: the publishable key and a password."""
        env = json.loads(await self.ok("env", "--format", "json"))
        headers = {"apikey": env["SUPABASE_PUBLISHABLE_KEY"]}
        async with httpx.AsyncClient(base_url=env["SUPABASE_URL"], headers=headers, timeout=30) as http:
            asked = {"email": email, "password": password}
            answer = await http.post("/auth/v1/token?grant_type=password", json=asked)
            assert answer.status_code == 200, answer.text
            http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            yield http


@contextlib.asynccontextmanager
async def local_in(folder: Path) -> AsyncIterator[Local]:
    """A stack that is not started yet."""
    local = Local(folder)
    try:
        yield local
    finally:
        await local.run("stop")
        if holder := local.home.holder:
            os.kill(holder.pid, signal.SIGKILL)
