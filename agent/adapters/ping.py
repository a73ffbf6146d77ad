"""`agent.ports.Pinger` over one warm httpx client. A ping's URL is a secret: errors name the host alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Final
from urllib.parse import urlsplit

import httpx

TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 4


class HttpPinger:
    """Close it."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def ping(self, url: str, body: str) -> str | None:
        """POST where there is something to tell, else GET. None when it was heard, else one sentence why not."""
        host = urlsplit(url).hostname or "the address"
        if self._client is None:
            logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, headers={"user-agent": "cronmirror"})
        try:
            async with self._turns:
                answer = await (self._client.post(url, content=body.encode()) if body else self._client.get(url))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"{host} could not be asked ({type(error).__name__})"
        return None if answer.is_success else f"{host} answered {answer.status_code}"
