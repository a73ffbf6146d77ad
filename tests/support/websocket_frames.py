"""The frames of a WebSocket, as a server sends them (RFC 6455 §5.2: not masked), so that single messages can be lost.

Only whole text messages are told apart; everything else (close, ping, continuations) is passed on as it is.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

TEXT = 0x1
_FINAL = 0x80
_MASKED = 0x80
_SHORT, _LONG = 126, 127


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame: its bytes as they were on the wire, and its text if it is a whole text message."""

    raw: bytes
    text: str | None


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame from the server. Raises `IncompleteReadError` at the end of the stream."""
    head = await reader.readexactly(2)
    size = head[1] & ~_MASKED
    more = b""
    if size in (_SHORT, _LONG):
        more = await reader.readexactly(2 if size == _SHORT else 8)
        size = int.from_bytes(more, "big")
    mask = await reader.readexactly(4) if head[1] & _MASKED else b""
    body = await reader.readexactly(size)
    whole = head[0] == _FINAL | TEXT and not mask
    return Frame(raw=head + more + mask + body, text=body.decode() if whole else None)


class Shuffle:
    """What a bad Realtime does to the changes that it should tell: some lost, some twice, some in another order.

    Only `postgres_changes` are touched: without replies, heartbeats and the word that the subscription stands, the line
    would be noticed to be dead, which is another scenario.
    """

    def __init__(self, rng: random.Random, *, lost: float, doubled: float, held: float) -> None:
        self._rng = rng
        self._odds = (lost, doubled, held)
        self._held: list[bytes] = []
        self.seen = 0
        self.dropped = 0
        self.doubled = 0
        self.reordered = 0

    def __call__(self, frame: Frame) -> list[bytes]:
        """What arrives in place of this frame: nothing, it, it twice, or it before an earlier one."""
        if frame.text is None or not _tells_a_change(frame.text):
            return [frame.raw]
        self.seen += 1
        lost, doubled, held = self._odds
        dice = self._rng.random()
        if dice < lost:
            self.dropped += 1
            return []
        if dice < lost + doubled:
            self.doubled += 1
            return [frame.raw, frame.raw]
        if dice < lost + doubled + held:
            self.reordered += 1
            self._held.append(frame.raw)
            return []
        before, self._held = self._held, []
        return [frame.raw, *reversed(before)]


def _tells_a_change(text: str) -> bool:
    """Of protocol 1.0.0 (an object) and 2.0.0 (`[join_ref, ref, topic, event, payload]`)."""
    message = json.loads(text)
    event = message[3] if isinstance(message, list) else message["event"]
    return bool(event == "postgres_changes")


Meddle = Callable[[Frame], list[bytes]]
"""What arrives in place of a frame."""
