"""`agent.ports.Courier`: one short-lived process per message.

Importing apprise takes a second and 29 MiB that a resident process never gives back; and a service's library that hangs
or leaks does so elsewhere. The URL goes through stdin: `ps` shows arguments.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Final

TIMEOUT_S: Final = 60.0
AT_ONCE: Final = 4
"""Each takes a second of CPU and 60 MiB while it lives."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY",
         "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY",
         "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "PYTHONPATH")  # fmt: skip


class AppriseCourier:
    """`agent.ports.Courier`."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def send(self, url: str, *, title: str, body: str, severity: str) -> str | None:
        """None when the service took it, else one sentence why not."""
        letter = json.dumps({"url": url, "title": title, "body": body, "severity": severity}).encode()
        async with self._turns:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "agent.adapters.notify.courier",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={name: os.environ[name] for name in _KEPT if name in os.environ},
                )
            except OSError as error:
                return f"The courier could not be started ({error.strerror})."
            return await self._told(process, letter)

    @staticmethod
    async def _told(process: asyncio.subprocess.Process, letter: bytes) -> str | None:
        try:
            said, _ = await asyncio.wait_for(process.communicate(letter), TIMEOUT_S)
        except TimeoutError:
            return f"The channel did not answer within {TIMEOUT_S:g} s."
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            answer = json.loads(said)
            error = answer["error"]
        except (ValueError, KeyError, TypeError):
            return f"The courier broke down (exit code {process.returncode})."
        return None if error is None else str(error)
