"""A Phoenix client as thin as can be: what it sends and receives are the bytes on the wire."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

RECEIVE_S = 8.0


class Phoenix:
    """One raw connection; `vsn` decides how messages are written."""

    def __init__(self, connection: ClientConnection, vsn: str) -> None:
        self.connection = connection
        self._vsn = vsn
        self._refs = (str(number) for number in itertools.count(1))

    async def send(self, topic: str, event: str, payload: Any, *, join_ref: str | None = None) -> str:
        """Send a message, return its ref."""
        ref = next(self._refs)
        join_ref = ref if event == "phx_join" else join_ref
        message: Any = [join_ref, ref, topic, event, payload]
        if self._vsn == "1.0.0":
            message = dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))
        await self.connection.send(json.dumps(message))
        return ref

    async def raw(self) -> str | bytes:
        """The next frame as it came."""
        async with asyncio.timeout(RECEIVE_S):
            return await self.connection.recv()

    async def next(self) -> tuple[str, str, Any]:
        """(topic, event, payload) of the next frame."""
        message = json.loads(await self.raw())
        if isinstance(message, list):
            return message[2], message[3], message[4]
        return message["topic"], message["event"], message["payload"]

    async def join(self, topic: str, *bindings: Any, token: str | None = None, **config: Any) -> Any:
        """Join, return the reply's payload. Presence is not wanted unless it is asked for."""
        config.setdefault("presence", {"key": "", "enabled": False})
        payload = {"config": {"postgres_changes": list(bindings), **config}, "access_token": token}
        await self.send(topic, "phx_join", payload)
        _, event, reply = await self.next()
        assert event == "phx_reply", (event, reply)
        return reply

    async def subscribe(self, topic: str, *bindings: Any, token: str | None = None) -> Any:
        """Join and wait until changes are followed; return the reply's payload."""
        reply = await self.join(topic, *bindings, token=token)
        assert reply["status"] == "ok", reply
        _, event, payload = await self.next()
        assert (event, payload["status"]) == ("system", "ok"), payload
        return reply

    async def change(self) -> Any:
        """The `data` of the next frame, which must be a change."""
        _, event, payload = await self.next()
        assert event == "postgres_changes", (event, payload)
        return payload["data"]


async def dial(url: str, vsn: str = "1.0.0", **options: Any) -> Phoenix:
    """Connect to a full URL."""
    return Phoenix(await connect(url, **options), vsn)
