"""supabase-py with an ear on the wire: the client does not say with which status a request was answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import httpx
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions

TIMEOUT_S = 15


class Wired:
    """One client, and what the last answer to it was like."""

    def __init__(self) -> None:
        self.supabase: AsyncClient
        self.http = httpx.AsyncClient(event_hooks={"response": [self._note]}, timeout=TIMEOUT_S, follow_redirects=True)
        self.forget()

    @classmethod
    async def create(cls, target: Mapping[str, Any], spec: str) -> Self:
        """A new client with the key of this name (`key` or `key+bearer`); nobody is signed in."""
        made = cls()
        key, _, bearer = spec.partition("+")
        headers = {"Authorization": f"Bearer {target['keys'][bearer]}"} if bearer else {}
        options = AsyncClientOptions(httpx_client=made.http, auto_refresh_token=False, headers=headers)
        made.supabase = await acreate_client(target["url"], target["keys"][key], options)
        return made

    def forget(self) -> None:
        """Before a call: nothing has been answered."""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.empty = False

    def told(self) -> dict[str, Any]:
        """`{status, headers}` of the last answer; status None where nothing was asked."""
        return {"status": self.status, "headers": self.headers}

    async def close(self) -> None:
        """Everything it holds open."""
        await self.supabase.remove_all_channels()
        await self.supabase.realtime.close()
        await self.http.aclose()

    async def _note(self, response: httpx.Response) -> None:
        await response.aread()
        self.status, self.headers = response.status_code, dict(response.headers)
        self.empty = not response.content
