"""`/realtime/v1/api/broadcast`: broadcasts over HTTP, many at once or one at a time, for whoever has no websocket.

Statuses and texts are those of Supabase Realtime. What may not be written to a private topic is dropped silently in a
batch and refused with 403 alone, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agent.localstack.access import api_key, bearer
from agent.localstack.keys import Keys
from agent.localstack.realtime import identity
from agent.localstack.realtime.database import Database
from agent.localstack.realtime.frames import Announcement, UserBroadcast, dumps, finite_json, ordered
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity, IdentityRefused
from agent.localstack.realtime.policies import DatabaseAway, Place, PolicyFailed, may_write
from agent.localstack.refusal import Refusal, read_body
from agent.model.value import Json

PATH = "/realtime/v1/api/broadcast"
LONGEST_BODY = 8_000_000
LONGEST_PAYLOAD = 3_000_000
BLANK, INVALID = "can't be blank", "is invalid"


@dataclass(frozen=True, kw_only=True)
class Broadcasts:
    """The HTTP side of broadcasting."""

    keys: Keys
    hub: Hub
    database: Database

    def routes(self) -> list[BaseRoute]:
        """To be mounted at the root of the gateway."""
        single = PATH + "/{topic}/events/{event}"
        return [Route(PATH, self.batch, methods=["POST"]), Route(single, self.single, methods=["POST"])]

    async def batch(self, request: Request) -> Response:
        """202 for `{messages: [{topic, event, payload, private}]}`; all of them or, with 422, none."""
        who = self._caller(request)
        body = _parsed(await read_body(request, LONGEST_BODY))
        messages = read_messages(body if isinstance(body, dict) else {})
        allowed: dict[str, bool] = {}
        for message in messages:
            topic = message.topic
            if message.private and topic not in allowed:
                allowed[topic] = await self._may_write(request, topic, who)
        for message in messages:
            if not message.private or allowed[message.topic]:
                body_text = dumps({"event": message.event, "payload": message.payload, "type": "broadcast"})
                self._announce(message.topic, body_text, private=message.private)
        return Response(status_code=202)

    async def single(self, request: Request) -> Response:
        """202 for a payload of JSON or bytes to one topic; `?private=true` asks the policies."""
        who = self._caller(request)
        topic, event = request.path_params["topic"], request.path_params["event"]
        private = request.query_params.get("private") == "true"
        body = await read_body(request, LONGEST_BODY)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {"application/json", "application/octet-stream"}:
            raise Refusal(415, {"errors": {"detail": "Unsupported Media Type"}})
        is_json = kind == "application/json"
        if is_json:
            payload = _parsed(body)
            body = dumps(payload if isinstance(payload, dict) else {"_json": payload}).encode()
        if len(body) > LONGEST_PAYLOAD:
            raise Refusal(422, {"errors": {"payload": ["Payload size exceeds tenant limit"]}})
        if private:
            await self._require_write(request, topic, who)
        self._announce(topic, UserBroadcast(event=event, is_json=is_json, payload=body), private=private)
        return Response(status_code=202)

    def _announce(self, topic: str, body: str | UserBroadcast, *, private: bool) -> None:
        self.hub.announce(Announcement(topic=f"realtime:{topic}", event="broadcast", body=body), private=private)

    def _caller(self, request: Request) -> Identity:
        key = api_key(request, self.keys)
        try:
            return identity.of_api_key(self.keys, bearer(request) or key)
        except IdentityRefused:
            raise Refusal(401, {"message": "Unauthorized"}) from None

    async def _may_write(self, request: Request, topic: str, who: Identity) -> bool:
        try:
            return await may_write(self.database, _place(request, topic), who, "broadcast")
        except (PolicyFailed, DatabaseAway):
            return False

    async def _require_write(self, request: Request, topic: str, who: Identity) -> None:
        try:
            allowed = await may_write(self.database, _place(request, topic), who, "broadcast")
        except PolicyFailed:
            raise Refusal(422, {"message": "RLS policy error"}) from None
        except DatabaseAway:
            raise Refusal(422, {"message": "Tenant database unavailable"}) from None
        if not allowed:
            raise Refusal(403, {"message": "Unauthorized"})


@dataclass(frozen=True, kw_only=True)
class BatchMessage:
    """One entry of a batch that passed."""

    topic: str
    event: str
    payload: dict[str, Json]
    private: bool


def read_messages(body: dict[str, Json]) -> list[BatchMessage]:
    """The entries, or a Refusal that says what is wrong with each."""
    entries = body.get("messages")
    if entries is None or entries == []:
        raise Refusal(422, {"errors": {"messages": [BLANK]}})
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refusal(422, {"errors": {"messages": [INVALID]}})
    faults: list[Json] = [_faults(entry) for entry in entries if isinstance(entry, dict)]
    if any(faults):
        raise Refusal(422, {"errors": {"messages": faults}})
    return [
        BatchMessage(
            topic=entry["topic"],
            event=entry["event"],
            payload=entry["payload"],
            private=entry.get("private") in (True, "true", "1"),
        )
        for entry in entries
    ]


def _faults(entry: dict[str, Json]) -> dict[str, Json]:
    faults: dict[str, Json] = {}
    for name, kind in (("topic", str), ("event", str), ("payload", dict)):
        value = entry.get(name)
        if value is None or (isinstance(value, str) and kind is str and not value.strip()):
            faults[name] = [BLANK]
        elif not isinstance(value, kind):
            faults[name] = [INVALID]
    if entry.get("private") not in (None, True, False, "true", "false", "1", "0"):
        faults["private"] = [INVALID]
    if not faults and len(ordered(entry["payload"])) > LONGEST_PAYLOAD:
        faults["payload"] = ["Payload size exceeds tenant limit"]
    return faults


def _parsed(body: bytes) -> Json:
    try:
        return finite_json(body.decode())
    except (ValueError, RecursionError):
        raise Refusal(400, {"errors": {"detail": "Bad Request"}}) from None


def _place(request: Request, topic: str) -> Place:
    return Place(topic=topic, headers={name: value for name, value in request.headers.items() if name.startswith("x-")})
