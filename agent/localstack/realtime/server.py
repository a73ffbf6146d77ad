"""The Realtime server of the embedded stack: `/realtime/v1/websocket`.

Implements Phoenix channels, `postgres_changes` with row-level security per subscriber, and public broadcasts.
Presence, private channels and everything else is refused by name.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs

import structlog
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from agent.localstack.keys import Keys
from agent.localstack.realtime import identity
from agent.localstack.realtime.channel import Stage
from agent.localstack.realtime.database import Database
from agent.localstack.realtime.fanout import FanOut
from agent.localstack.realtime.feed import Feed
from agent.localstack.realtime.frames import Version
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity, IdentityRefused
from agent.localstack.realtime.session import SERVICE_RESTART, Limits, Session

PATH = "/realtime/v1/websocket"
VERSIONS: dict[str, Version] = {"1.0.0": "1.0.0", "2.0.0": "2.0.0"}
DEFAULT_VERSION: Version = "1.0.0"
_LOG = structlog.get_logger()


class Realtime:
    """One server per stack. `dsn` is a conninfo of a superuser; the database runs with `wal_level=logical`."""

    def __init__(self, *, dsn: str, keys: Keys, limits: Limits | None = None) -> None:
        self._keys = keys
        self._limits = limits or Limits()
        self._database = Database(dsn)
        self._hub = Hub()
        self._feed = Feed(
            dsn,
            FanOut(self._hub, self._database).deliver,
            lambda relation: self._hub.listened_to(relation.schema, relation.table),
        )
        self._feeding: asyncio.Task[None] | None = None
        self._sessions: set[Session] = set()

    def routes(self) -> list[BaseRoute]:
        """To be mounted at the root of the gateway."""
        return [WebSocketRoute(PATH, self._serve, name="realtime")]

    async def start(self) -> None:
        """Install what runs inside Postgres and begin to follow changes. StackError when Postgres cannot be used."""
        await self._database.open()
        self._feeding = asyncio.create_task(self._feed.run(), name="realtime feed")
        self._feeding.add_done_callback(_feed_ended)

    async def stop(self) -> None:
        """Close every connection with 1012 and every tie to Postgres. May be called twice."""
        for session in self._sessions:
            session.end(SERVICE_RESTART)
        if self._feeding is not None:
            self._feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeding
            self._feeding = None
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
        stage = Stage(keys=self._keys, hub=self._hub, database=self._database, live=self._feed.live)
        session = Session(websocket, stage, self._limits, version=version, identity=caller)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

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


def _feed_ended(task: asyncio.Task[None]) -> None:
    """The feed runs for ever: an end that nobody asked for is a fault of ours and must be heard of."""
    if not task.cancelled() and task.exception() is not None:
        _LOG.error("the change feed ended", exc_info=task.exception())
