"""One life of a Realtime connection: a socket, a channel, a subscription, and an end that leaves nothing behind.

The realtime library's own reconnecting is switched off: it gives up after five attempts, never checks heartbeats and
goes deaf on `phx_close`. Whoever supervises throws a broken line away and makes a new one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.message import Message, SuccessSystemPayload
from realtime.types import PHOENIX_CHANNEL, ChannelEvents, PostgresChangesPayload, RealtimePostgresChangesListenEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus, WebSocketException

from agent.adapters.supabase.transport import retry_after
from agent.model import Json

MAX_FRAME: Final = 8 * 2**20
"""The library's default, 1 MiB, is what Realtime allows for a row alone: a frame around it would cut the line."""
OPEN_S: Final = 10.0
CLOSE_S: Final = 2.0
LISTENING: Final = "Subscribed to PostgreSQL"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Changes of one table to listen to; `event` is `INSERT` or `UPDATE`."""

    event: str
    table: str
    filter: str
    on_record: Callable[[Mapping[str, Json]], None]


class LineBroken(Exception):
    """The line could not be opened; `str()` says why, for people."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _CountingSocket(ClientConnection):
    """Counts the frames that arrive, so that silence can be noticed (replies to heartbeats reach no callback)."""

    frames = 0

    async def recv(self, decode: bool | None = None) -> Any:  # noqa: FBT001 - websockets' own signature
        frame = await super().recv(decode)
        self.frames += 1
        return frame


class _Straight(connect):
    """Follows no redirect: whoever it leads to would be handed the access token with the join."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Client(AsyncRealtimeClient):
    """The library's client on a socket of ours: larger frames, no pings beside the heartbeats, one attempt."""

    socket: _CountingSocket | None = None

    async def connect(self) -> None:
        socket = await _Straight(
            self.endpoint_url(),
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            max_size=MAX_FRAME,
            create_connection=_CountingSocket,
        )
        if not isinstance(socket, _CountingSocket):
            raise AssertionError("create_connection decides the class")  # noqa: TRY004 - no argument is at fault
        self.socket = self._ws_connection = socket
        self._listen_task = asyncio.create_task(self._listen(), name="realtime listener")

    async def _on_connect_error(self, e: ConnectionClosedError) -> None:
        """The library's own reads an attribute that websockets has deprecated, and would reconnect."""
        self._ws_connection = None
        self._set_channels_errored(e)


class Line:
    """Used once: `open`, then `close` whatever happened. `on_listening` is called at each confirmation."""

    def __init__(
        self, url: str, key: str, topic: str, bindings: list[Binding], on_listening: Callable[[], None]
    ) -> None:
        _silence_libraries()
        self._client = _Client(url, token=key, auto_reconnect=False)
        self._channel: AsyncRealtimeChannel = self._client.channel(topic)
        self._on_listening = on_listening
        self._down: str | None = None
        self._refs = itertools.count(1_000_000)
        for each in bindings:
            self._channel.on_postgres_changes(
                RealtimePostgresChangesListenEvent(each.event),
                _guarded(each),
                table=each.table,
                schema="public",
                filter=each.filter,
            )
        self._channel.on_system(self._system)

    @property
    def frames(self) -> int:
        """How many frames have arrived."""
        return self._client.socket.frames if self._client.socket else 0

    @property
    def down(self) -> str | None:
        """Why the line is of no use any more, or None."""
        listener = self._client._listen_task  # noqa: SLF001 - the library shows its death nowhere else
        if self._down is None and listener is not None and listener.done():
            self._down = "the connection was closed"
        return self._down

    async def open(self, token: str) -> None:
        """Connect and join. Raises `LineBroken`. The line listens only once `on_listening` has been called."""
        self._client.access_token = token
        try:
            await self._client.connect()
            async with asyncio.timeout(OPEN_S):
                await self._channel.subscribe(self._state)
        except InvalidStatus as err:
            raise _refused(err) from err
        except TimeoutError as err:
            raise LineBroken("Realtime did not answer in time") from err
        except (OSError, WebSocketException) as err:
            raise LineBroken(f"Realtime cannot be reached ({str(err) or type(err).__name__})") from err

    async def heartbeat(self) -> None:
        """Ask for a sign of life; the reply is a frame like any other."""
        await self._send(PHOENIX_CHANNEL, ChannelEvents.heartbeat, {})

    async def give_token(self, token: str) -> None:
        """Hand over a new access token. Not `set_auth`: that one waits for a reply which never comes."""
        await self._send(self._channel.topic, ChannelEvents.access_token, {"access_token": token})

    async def close(self, *, politely: bool = True) -> None:
        """End socket and tasks; returns within a few seconds even where nobody answers any more.

        Not `politely`: at once, without a word; for where the other end is certain to be gone.
        """
        tasks = self._tasks()
        self._down = self._down or "closed"
        if not politely and self._client.socket is not None:
            self._client.socket.transport.abort()
        try:
            async with asyncio.timeout(2 * CLOSE_S):
                await self._client.close()
        except (OSError, TimeoutError, WebSocketException) as err:
            _log.debug("the old realtime connection did not close by itself", why=str(err))
        if self._client.socket is not None:
            self._client.socket.transport.abort()
        tasks |= self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Every task the library started for this line; it forgets most of them itself."""
        client, channel = self._client, self._channel
        pushes = [channel.join_push, *channel.messages_waiting_for_ack.values()]
        found = [client._listen_task, channel.rejoin_timer.timer, *(push.timeout_task for push in pushes)]  # noqa: SLF001 - only there
        return {task for task in [*found, *channel._background_tasks] if task is not None}  # noqa: SLF001 - only there

    async def _send(self, topic: str, event: str, payload: dict[str, Json]) -> None:
        message = Message(
            topic=topic,
            event=event,
            payload=payload,
            ref=str(next(self._refs)),
            join_ref=None if topic == PHOENIX_CHANNEL else self._channel.join_push.ref,
        )
        try:
            async with asyncio.timeout(OPEN_S):
                await self._client.send(message)
        except (OSError, TimeoutError, WebSocketException) as err:
            self._down = self._down or f"the connection broke ({str(err) or type(err).__name__})"

    def _system(self, payload: SuccessSystemPayload) -> None:
        if payload.message == LISTENING and self._down is None:
            self._on_listening()

    def _state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED and self._down is None:
            self._down = _words(state, error)


def _guarded(binding: Binding) -> Callable[[PostgresChangesPayload], None]:
    """An exception in a callback would end the library's listener while it still calls itself connected."""

    def call(payload: PostgresChangesPayload) -> None:
        try:
            binding.on_record(payload["data"].get("record") or {})
        except Exception:  # noqa: BLE001 - see above
            _log.exception("a realtime event could not be read", table=binding.table)

    return call


def _words(state: RealtimeSubscribeStates, error: Exception | None) -> str:
    """The server's own sentence out of the JSON that the library makes of it."""
    plain = f"the channel was lost ({state.value})"
    try:
        said = json.loads(str(error))
        return str(said.get("message") or said.get("reason") or plain)
    except (ValueError, AttributeError):
        return f"{plain}: {error}" if error else plain


def _refused(err: InvalidStatus) -> LineBroken:
    status = err.response.status_code
    wish = retry_after(next(iter(err.response.headers.get_all("retry-after")), None))
    why = "; the API key is not accepted: check supabase.key" if status in (401, 403) else ""
    return LineBroken(f"Realtime answered HTTP {status}{why}", retry_after_s=wish)


def _silence_libraries() -> None:
    """What they log we say ourselves, once and in words; at DEBUG they would log rows, keys and tokens."""
    logging.getLogger("realtime").setLevel(logging.CRITICAL)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
