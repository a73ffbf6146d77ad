"""One websocket: reads frames, answers them, and sends what its channels queue.

Bounded on every side: frame size, channels, silence, and what a slow reader may leave unread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.localstack.realtime import frames
from agent.localstack.realtime.channel import TOPIC_PREFIX, Answer, Channel, Stage
from agent.localstack.realtime.frames import Frame, Message, Version, ordered
from agent.localstack.realtime.identity import Identity
from agent.localstack.realtime.joins import JoinRefused, JoinRequest, read_join

NORMAL = 1000
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
TOO_BIG = 1009
CLOSE_S = 1.0
"""How long a close may take: a reader that takes nothing would block it."""
_LOG = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one connection may use up."""

    silence_s: float = 66.0
    """Without any message of the client the connection is closed, as hosted Realtime does."""
    channels: int = 100
    frame_bytes: int = 5_000_000
    queued_frames: int = 4096
    queued_bytes: int = 16 * 1024 * 1024


class Session:
    """One connection, from accepted to closed."""

    def __init__(
        self, websocket: WebSocket, stage: Stage, limits: Limits, *, version: Version, identity: Identity
    ) -> None:
        self._websocket = websocket
        self._stage = stage
        self._limits = limits
        self._version = version
        self._identity = identity
        self._channels: dict[str, Channel] = {}
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._queued = asyncio.Event()
        self._verdict: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The close code, once it is decided that the connection ends."""

    async def run(self) -> None:
        """Serve until one side ends it."""
        tasks = [
            asyncio.create_task(self._read(), name="realtime read"),
            asyncio.create_task(self._write(), name="realtime write"),
        ]
        try:
            first: list[asyncio.Future[Any]] = [*tasks, self._verdict]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for channel in self._channels.values():
                channel.drop()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    def end(self, code: int) -> None:
        """Close as soon as possible; the first reason counts."""
        if not self._verdict.done():
            self._verdict.set_result(code)

    async def _close(self) -> None:
        if self._verdict.done():
            with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                async with asyncio.timeout(CLOSE_S):
                    await self._websocket.close(self._verdict.result())

    # ── out ─────────────────────────────────────────────────────────────────

    def push(self, frame: Frame) -> None:
        """Queue a frame; a connection that leaves too much unread is cut off."""
        if self._verdict.done():
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._queued.set()
        if len(self._queue) > self._limits.queued_frames or self._queued_bytes > self._limits.queued_bytes:
            _LOG.warning(
                "a Realtime connection reads too slowly and is closed",
                frames=len(self._queue),
                bytes=self._queued_bytes,
            )
            self._queue.clear()
            self.end(TRY_AGAIN_LATER)

    async def _write(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                frame = self._queue.popleft()
                self._queued_bytes -= len(frame)
                if isinstance(frame, bytes):
                    await self._websocket.send_bytes(frame)
                else:
                    await self._websocket.send_text(frame)

    def _reply(self, message: Message, status: str, response: str, *, matched: bool = True) -> None:
        payload = f'{{"status":"{status}","response":{response}}}'
        join_ref = message.join_ref if matched else None
        self.push(frames.encode(self._version, message.topic, "phx_reply", payload, join_ref=join_ref, ref=message.ref))

    # ── in ──────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._limits.silence_s):
                    event = await self._websocket.receive()
            except TimeoutError:
                return self.end(NORMAL)
            if event["type"] == "websocket.disconnect":
                return None
            frame: Frame | None = event.get("text")
            if frame is None:
                frame = event.get("bytes") or b""
            if len(frame) > self._limits.frame_bytes:
                return self.end(TOO_BIG)
            message = frames.decode(self._version, frame)
            if message is not None:
                await self._handle(message)

    async def _handle(self, message: Message) -> None:
        channel = self._channels.get(message.topic)
        if message.topic == "phoenix" and message.event == "heartbeat":
            self._reply(message, "ok", "{}")
        elif message.event == "phx_join" and message.topic.startswith(TOPIC_PREFIX):
            await self._join(message, channel)
        elif channel is not None:
            if message.join_ref in (None, channel.join_ref):
                await self._tell(channel, message)
        elif message.event == "phx_leave":
            self._reply(message, "ok", "{}")
        else:
            self._reply(message, "error", '{"reason":"unmatched topic"}', matched=False)

    async def _tell(self, channel: Channel, message: Message) -> None:
        """Unknown events are passed over, as on the genuine server."""
        payload = message.payload
        answer: Answer | None = None
        if message.event == "phx_leave":
            self._reply(message, "ok", "{}")
            channel.close()
            self._forget(channel)
        elif message.event == "broadcast":
            answer = await channel.broadcast(payload)
        elif isinstance(payload, dict) and message.event == "access_token":
            await channel.refresh(payload)
        elif isinstance(payload, dict) and message.event == "presence":
            answer = await channel.presence(payload)
        if answer is not None:
            self._reply(message, answer.status, answer.response)
        channel.settle()

    async def _join(self, message: Message, joined: Channel | None) -> None:
        """A second join of a topic takes the place of the first, whose `phx_close` follows the reply."""
        if joined is not None:
            joined.drop()
            self._forget(joined)
        try:
            request = self._read_join(message)
            channel = Channel(self._stage, message, request, version=self._version, push=self.push, ended=self._forget)
            await channel.admit()
        except JoinRefused as err:
            self._reply(message, "error", ordered({"reason": str(err)}))
        else:
            self._channels[message.topic] = channel
            self._reply(message, "ok", request.echo)
            channel.open()
        if joined is not None:
            joined.close()

    def _read_join(self, message: Message) -> JoinRequest:
        if message.topic == TOPIC_PREFIX:
            raise JoinRefused("TopicNameRequired: You must provide a topic name")
        if len(self._channels) >= self._limits.channels:
            raise JoinRefused("ChannelRateLimitReached: Too many channels")
        payload = message.payload if isinstance(message.payload, dict) else {}
        return read_join(self._stage.keys, payload, self._identity)

    def _forget(self, channel: Channel) -> None:
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]
