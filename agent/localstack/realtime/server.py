"""The Realtime server of the embedded stack: `/realtime/v1/websocket` and `/realtime/v1/api/broadcast`.

Phoenix channels, public and private; `postgres_changes` with row-level security per subscriber; broadcasts from
clients, over HTTP and from SQL; presence. What is not served is refused by name.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from agent.localstack.keys import Keys
from agent.localstack.realtime import identity
from agent.localstack.realtime.broadcasts import Broadcasts
from agent.localstack.realtime.channel import ChannelLimits, Stage
from agent.localstack.realtime.database import Database
from agent.localstack.realtime.fanout import FanOut
from agent.localstack.realtime.feed import Feed
from agent.localstack.realtime.frames import Version
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity, IdentityRefused
from agent.localstack.realtime.replay import is_messages
from agent.localstack.realtime.session import SERVICE_RESTART, Limits, Session

PATH = "/realtime/v1/websocket"
VERSIONS: dict[str, Version] = {"1.0.0": "1.0.0", "2.0.0": "2.0.0"}
DEFAULT_VERSION: Version = "1.0.0"
PRUNE_EVERY_S = 3600.0
_LOG = structlog.get_logger()


class Realtime:
    """One server per stack. `dsn` is a conninfo of a superuser; the database runs with `wal_level=logical`."""

    def __init__(
        self, *, dsn: str, keys: Keys, limits: Limits | None = None, channel_limits: ChannelLimits | None = None
    ) -> None:
        self._keys = keys
        self._limits = limits or Limits()
        self._channel_limits = channel_limits or ChannelLimits()
        self._database = Database(dsn)
        self._hub = Hub()
        self._feed = Feed(
            dsn,
            FanOut(self._hub, self._database).deliver,
            lambda relation: is_messages(relation) or self._hub.listened_to(relation.schema, relation.table),
        )
        self._broadcasts = Broadcasts(keys=keys, hub=self._hub, database=self._database)
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: set[Session] = set()

    def routes(self) -> list[BaseRoute]:
        """To be mounted at the root of the gateway."""
        return [WebSocketRoute(PATH, self._serve, name="realtime"), *self._broadcasts.routes()]

    async def start(self) -> None:
        """Install what runs inside Postgres and begin to follow changes. StackError when Postgres cannot be used."""
        await self._database.open()
        for loop, name in ((self._feed.run(), "realtime feed"), (self._prune(), "realtime prune")):
            task = asyncio.create_task(loop, name=name)
            task.add_done_callback(_task_ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        """Close every connection with 1012 and every tie to Postgres. May be called twice."""
        for session in self._sessions:
            session.end(SERVICE_RESTART)
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._database.close()

    async def _serve(self, websocket: WebSocket) -> None:
        query = parse_qs(websocket.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        version = VERSIONS.get(query.get("vsn", [DEFAULT_VERSION])[0])
        key = websocket.headers.get("x-api-key") or query.get("apikey", [""])[0]
        caller = self._caller(key)
        if isinstance(caller, Response):
            await _deny(websocket, caller)
            return
        if version is None:
            await _deny(websocket, Response(status_code=403))
            return
        await websocket.accept()
        stage = Stage(
            keys=self._keys,
            hub=self._hub,
            database=self._database,
            live=self._feed.live,
            headers={name: value for name, value in websocket.headers.items() if name.startswith("x-")},
            limits=self._channel_limits,
        )
        session = Session(websocket, stage, self._limits, version=version, identity=caller)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    async def _prune(self) -> None:
        while True:
            try:
                await self._database.prune()
            except (psycopg.Error, PoolTimeout) as err:
                _LOG.warning("old broadcasts were not removed", error=str(err).strip())
            await asyncio.sleep(PRUNE_EVERY_S)

    def _caller(self, key: str) -> Identity | Response:
        if not key:
            return JSONResponse({"error": "API key is missing"}, status_code=401)
        try:
            return identity.of_api_key(self._keys, key)
        except IdentityRefused as err:
            return JSONResponse({"error": err.at_connect}, status_code=401)


async def _deny(websocket: WebSocket, response: Response) -> None:
    """Answer with HTTP. uvicorn 0.54 logs an error when we return before it has noticed that the connection is gone."""
    await websocket.send_denial_response(response)
    for _ in range(3):
        await asyncio.sleep(0)


def _task_ended(task: asyncio.Task[None]) -> None:
    """They run for ever: an end that nobody asked for is a fault of ours and must be heard of."""
    if not task.cancelled() and task.exception() is not None:
        _LOG.error(f"{task.get_name()} ended", exc_info=task.exception())
