"""A small Supabase on loopback that misbehaves on command: real sockets, no database, no policy.

Answers `/auth/v1` (password, refresh with rotation), records every `/rest/v1` call, and speaks enough of Realtime 1.0.0
to subscribe and be told of changes. What it answers correctly has the shape of the genuine servers' answers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

ANON = "sb_publishable_test"
EMAIL = "mac-mini@example.com"
PASSWORD = "correct horse"


class WallClock:
    """`agent.ports.Clock` in real time, with a wall that can be pushed."""

    def __init__(self) -> None:
        self.pushed_s = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.pushed_s, UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


@dataclass
class Call:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    connection: int

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Answer:
    """What the next matching call gets instead of the truth."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    html: str | None = None
    delay_s: float = 0.0
    drop: bool = False
    """Close the connection without any answer …"""
    commit_first: bool = False
    """… after the call has had its effect."""


def jwt(**claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


class MisbehavingSupabase:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[tuple[str, Answer]] = []
        self.rpcs: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.lifetime_s = 3600.0
        self.refresh_tokens: dict[str, str] = {}
        self.valid_tokens: set[str] = set()
        self.committed: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.realtime = MisbehavingRealtime(self)
        self._serial = itertools.count(1)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    # ── commands ────────────────────────────────────────────────────────────

    def next_answer(self, path: str, answer: Answer, times: int = 1) -> None:
        """The next `times` calls whose path contains `path` get `answer`."""
        self.answers += [(path, answer)] * times

    def paths(self, part: str = "") -> list[str]:
        return [call.path for call in self.calls if part in call.path]

    def grants(self, kind: str) -> list[Call]:
        return [call for call in self.calls if call.query.get("grant_type") == [kind]]

    def drop_connections(self) -> None:
        """Close every kept connection, as an idle timeout of a load balancer would."""
        for writer in list(self._writers):
            writer.transport.abort()

    # ── HTTP ────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[MisbehavingSupabase]:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        async with self.realtime.serving():
            try:
                yield self
            finally:
                self._server.close()
                self.drop_connections()
                await self._server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        serial = next(self._serial)
        try:
            while call := await self._read(reader, serial):
                self.calls.append(call)
                if not await self._respond(call, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, serial: int) -> Call | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        parts = urlsplit(target)
        return Call(method, parts.path, parse_qs(parts.query), headers, json.loads(raw or b"null"), serial)

    async def _respond(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        planned = next((pair for pair in self.answers if pair[0] in call.path), None)
        if planned is None:
            status, body = self._truth(call)
            return await self._send(writer, Answer(status=status, body=body))
        self.answers.remove(planned)
        answer = planned[1]
        if answer.commit_first:
            self._truth(call)
        await asyncio.sleep(answer.delay_s)
        return False if answer.drop else await self._send(writer, answer)

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        content = (answer.html or json.dumps(answer.body)).encode()
        kind = "text/html" if answer.html else "application/json"
        headers = {"content-type": kind, "content-length": str(len(content)), **answer.headers}
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        writer.write(f"HTTP/1.1 {answer.status} Said\r\n{head}\r\n".encode() + content)
        await writer.drain()
        return True

    # ── the truth ───────────────────────────────────────────────────────────

    def _truth(self, call: Call) -> tuple[int, Any]:
        if call.headers.get("apikey") != ANON and not call.headers.get("apikey", "").startswith("sb_secret_"):
            return 401, {"message": "Invalid API key", "hint": "Double check your Supabase API key."}
        if call.path == "/auth/v1/token":
            return self._grant(call)
        if call.path == "/auth/v1/logout":
            return 204, None
        if call.token not in self.valid_tokens and not call.token.startswith("sb_"):
            return 401, {"code": "PGRST303", "message": "JWT expired", "details": None, "hint": None}
        if call.path.startswith("/rest/v1/rpc/"):
            return self._rpc(call.path.removeprefix("/rest/v1/rpc/"), call.body)
        return self._table(call)

    def _grant(self, call: Call) -> tuple[int, Any]:
        if call.query["grant_type"] == ["password"]:
            if (call.body["email"], call.body["password"]) != (EMAIL, PASSWORD):
                return 400, {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
        elif self.refresh_tokens.pop(call.body["refresh_token"], None) is None:
            said = "Invalid Refresh Token: Refresh Token Not Found"
            return 400, {"code": 400, "error_code": "refresh_token_not_found", "msg": said}
        return 200, self.grant()

    def grant(self) -> dict[str, Any]:
        """A new session, as Auth answers it."""
        serial, now = next(self._serial), int(time.time())
        access = jwt(role="authenticated", sub="1", jti=serial, iat=now, exp=now + int(self.lifetime_s))
        refresh = f"refresh-{serial}"
        self.refresh_tokens[refresh] = EMAIL
        self.valid_tokens.add(access)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": self.lifetime_s,
            "user": {"email": EMAIL},
        }

    def _rpc(self, name: str, args: dict[str, Any]) -> tuple[int, Any]:
        if name not in self.rpcs:
            return 404, {"code": "PGRST202", "message": f"Could not find the function public.{name}", "hint": None}
        self.committed.append(name)
        return 200, self.rpcs[name](args)

    def _table(self, call: Call) -> tuple[int, Any]:
        if call.method == "POST":
            self.rows.append({"id": "6d2f6ee8-5f43-4f2a-9d59-0a3f0b7f3f10", **call.body})
            return 201, self.rows[-1:]
        wanted = call.query["id"][0].removeprefix("eq.")
        return 200, [row for row in self.rows if row["id"] == wanted]


class MisbehavingRealtime:
    """Realtime 1.0.0 for one table of subscribers."""

    def __init__(self, home: MisbehavingSupabase) -> None:
        self._home = home
        self.sockets: set[ServerConnection] = set()
        self.joined: dict[ServerConnection, tuple[str, str, list[dict[str, Any]]]] = {}
        self.joins: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.heartbeats = 0
        self.connects = 0
        self.deaf = False
        """Answers nothing any more, on open connections as on new ones (a black hole behind a proxy)."""
        self.says_listening = True
        self.refuse: tuple[int, dict[str, str]] | None = None
        """HTTP status and headers for the next connections."""
        self.join_error: str | None = None
        self.system_error: str | None = None
        """Instead of the confirmation."""
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        async with serve(self._talk, "127.0.0.1", port, process_request=self._greet, ping_interval=None) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.url = f"ws://127.0.0.1:{self.port}/realtime/v1"
            try:
                yield
            finally:
                self.cut()

    # ── commands ────────────────────────────────────────────────────────────

    def cut(self) -> None:
        """Reset every connection."""
        for socket in list(self.sockets):
            socket.transport.abort()

    async def close(self, code: int) -> None:
        for socket in list(self.sockets):
            await socket.close(code)

    async def tell(self, event: str, payload: dict[str, Any], *, ref: str | None = None) -> None:
        """One frame on every joined channel."""
        for socket, (topic, _, _) in list(self.joined.items()):
            await self._send(socket, topic, event, payload, ref)

    async def change(self, kind: str, table: str, record: dict[str, Any] | None) -> None:
        """A change of a row, to those bound to its table and event."""
        for socket, (topic, _, bindings) in list(self.joined.items()):
            ids = [each["id"] for each in bindings if each["table"] == table and each["event"] == kind]
            data = {
                "schema": "public",
                "table": table,
                "type": kind,
                "commit_timestamp": "2026-11-21T23:48:49.706Z",
                "errors": None,
                "columns": [],
                "record": record,
            }
            if ids:
                await self._send(socket, topic, "postgres_changes", {"data": data, "ids": ids}, None)

    # ── the server ──────────────────────────────────────────────────────────

    def _greet(self, connection: ServerConnection, request: Any) -> Any:
        self.connects += 1
        if self.refuse is None:
            return None
        status, headers = self.refuse
        response = connection.respond(status, "no\n")
        response.headers.update(headers)
        return response

    async def _talk(self, socket: ServerConnection) -> None:
        self.sockets.add(socket)
        try:
            async for raw in socket:
                if not self.deaf:
                    await self._answer(socket, json.loads(raw))
        except ConnectionClosed:
            return
        finally:
            self.sockets.discard(socket)
            self.joined.pop(socket, None)

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        topic, event, ref = frame["topic"], frame["event"], frame["ref"]
        if event == "heartbeat":
            self.heartbeats += 1
            await self._reply(socket, topic, ref, {})
        elif event == "access_token":
            self.tokens.append(frame["payload"]["access_token"])
        elif event == "phx_join":
            await self._join(socket, frame)

    async def _join(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        topic, ref = frame["topic"], frame["ref"]
        self.joins.append(frame["payload"])
        if self.join_error:
            await self._reply(socket, topic, ref, {"reason": self.join_error}, status="error")
            return
        wanted = frame["payload"]["config"]["postgres_changes"]
        bindings = [{**each, "id": index} for index, each in enumerate(wanted, start=101)]
        self.joined[socket] = (topic, ref, bindings)
        await self._reply(socket, topic, ref, {"postgres_changes": bindings})
        if self.system_error:
            await self.system(self.system_error, "error")
        elif self.says_listening:
            await self.system("Subscribed to PostgreSQL", "ok")

    async def system(self, message: str, status: str) -> None:
        channel = {"message": message, "status": status, "extension": "postgres_changes", "channel": "cronmirror"}
        await self.tell("system", channel)

    async def _reply(self, socket: ServerConnection, topic: str, ref: str, response: Any, status: str = "ok") -> None:
        await self._send(socket, topic, "phx_reply", {"status": status, "response": response}, ref)

    async def _send(self, socket: ServerConnection, topic: str, event: str, payload: Any, ref: str | None) -> None:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(json.dumps({"ref": ref, "event": event, "topic": topic, "payload": payload}))
