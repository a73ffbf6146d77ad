"""One joined topic of one connection: its token, its bindings, its broadcasts, its presence.

The channel ends by leave, by a second join of its topic, by a token that ran out, or with its connection.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg
import structlog

from agent.localstack.keys import Keys
from agent.localstack.realtime import frames, identity
from agent.localstack.realtime.bindings import Binding, BindingError, parse_binding
from agent.localstack.realtime.database import Database, SubscriptionRefused
from agent.localstack.realtime.frames import Announcement, Frame, Message, Ref, UserBroadcast, Version, dumps, ordered
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import IdentityRefused
from agent.localstack.realtime.joins import JoinRefused, JoinRequest
from agent.localstack.realtime.policies import DatabaseAway, Place, Policies, PolicyFailed
from agent.localstack.realtime.presence import Address
from agent.localstack.realtime.replay import replayed
from agent.model.value import Json

TOPIC_PREFIX = "realtime:"
CLOCK_CHECK_S = 60.0
"""An expiry further away is looked at again: the event loop's clock stands still while the machine sleeps."""
RETRY_S = 2.0
_NO_DATABASE = "Realtime was unable to connect to the project database"
_LOG = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class ChannelLimits:
    """What one channel may send."""

    presence_calls: int = 5
    presence_window_s: float = 30.0
    """Hosted Realtime closes the channel of a client that tracks more often than this."""
    payload_bytes: int = 3_000_000
    """Of a broadcast, or of what is tracked."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What every channel of a connection works with."""

    keys: Keys
    hub: Hub
    database: Database
    live: asyncio.Event
    """Set while the change feed is up."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The connection's own `x-…` headers: policies may read them."""
    limits: ChannelLimits = field(default_factory=ChannelLimits)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a message of the client is answered with."""

    status: str
    response: str = "{}"


OK = Answer(status="ok")
ERROR = Answer(status="error")


class Channel:
    """A joined topic. `push` queues a frame on the connection; `ended` is called once, when it closes by itself."""

    def __init__(
        self,
        stage: Stage,
        message: Message,
        request: JoinRequest,
        *,
        version: Version,
        push: Callable[[Frame], None],
        ended: Callable[[Channel], None],
    ) -> None:
        self.topic = message.topic
        self.join_ref: Ref = message.join_ref
        self.identity = request.identity
        self.bindings: tuple[Binding, ...] = ()
        self._request = request
        self._stage = stage
        self._version = version
        self._push = push
        self._ended = ended
        self._policies: Policies | None = None
        """None: the topic is public."""
        self._sees_presence = request.presence
        self._owes_presence_state = False
        self._presence_window: tuple[float, int] = (0.0, 0)
        """When it began, and how many calls it has seen."""
        self._replay: list[Announcement] = []
        self._replayed: frozenset[str] = frozenset()
        self._closed = False
        self._expiry: asyncio.TimerHandle | None = None
        self._subscribing: asyncio.Task[None] | None = None

    @property
    def address(self) -> Address:
        """The topic; a private one has nothing in common with the public one of its name."""
        return self.topic, self._request.private

    @property
    def name(self) -> str:
        """The topic as the client named it."""
        return self.topic.removeprefix(TOPIC_PREFIX)

    async def admit(self) -> None:
        """Before the reply to the join: may it be here at all? JoinRefused."""
        if not self._request.private:
            return
        try:
            self._policies = await self._ask_policies()
        except PolicyFailed as err:
            _LOG.warning("policies on realtime.messages failed", topic=self.topic, error=str(err))
            raise JoinRefused(f"Unauthorized: {self._denied}") from None
        except DatabaseAway as err:
            _LOG.warning("a private topic cannot be joined", topic=self.topic, error=str(err))
            raise JoinRefused(f"UnableToConnectToProject: {_NO_DATABASE}") from None
        policies = self._policies
        wants_old = self._request.replay is not None and not policies.read_broadcast
        if not (policies.read_broadcast or policies.read_presence) or wants_old:
            raise JoinRefused(f"Unauthorized: {self._denied}")
        if self._request.replay is not None:
            try:
                self._replay, self._replayed = await replayed(self._stage.database, self.topic, self._request.replay)
            except (psycopg.Error, TimeoutError) as err:
                _LOG.warning("broadcasts could not be replayed", topic=self.topic, error=str(err).strip())
                raise JoinRefused("UnableToReplayMessages: Realtime was unable to replay messages") from None

    def open(self) -> None:
        """Begin: after the reply to the join is queued."""
        self._stage.hub.join(self)
        for announcement in self._replay:
            self._push_announcement(announcement)
        self._replay = []
        if self._sees_presence:
            self._send_presence_state()
        self._watch_expiry()
        self._subscribe()

    def close(self) -> None:
        """End, and say so with `phx_close`."""
        self.drop()
        self._send("phx_close", "{}", ref=self.join_ref)

    def drop(self) -> None:
        """End without a word: the connection is gone."""
        self._closed = True
        self._stage.hub.leave(self)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._subscribing is not None:
            self._subscribing.cancel()

    @property
    def _denied(self) -> str:
        return f"You do not have permissions to read from this Channel topic: {self.name}"

    async def _ask_policies(self) -> Policies:
        place = Place(topic=self.name, headers=self._stage.headers)
        return await Policies.ask(self._stage.database, place, self.identity, presence=self._sees_presence)

    # ── what the client says ────────────────────────────────────────────────

    async def refresh(self, payload: dict[str, Json]) -> None:
        """`access_token`: a new token changes what is seen from now on; one that is not accepted ends the channel."""
        token = payload.get("access_token")
        if not isinstance(token, str) or token.startswith("sb_") or token == self.identity.token:
            return
        try:
            self.identity = identity.of_token(self._stage.keys, token)
        except IdentityRefused as err:
            self.end(err.at_refresh)
            return
        if self._policies is not None and not await self._refresh_policies(self._policies):
            return
        if not self._closed:
            self._watch_expiry()
            self._subscribe()

    async def _refresh_policies(self, before: Policies) -> bool:
        """What the new token may do; False when that ended the channel."""
        try:
            self._policies = now = await self._ask_policies()
        except PolicyFailed:
            self.end(self._denied)
            return False
        except DatabaseAway:
            self.end(_NO_DATABASE)
            return False
        if not (now.read_broadcast or now.read_presence):
            self.end(self._denied)
        elif (before.read_broadcast and not now.read_broadcast) or (before.read_presence and not now.read_presence):
            self.end(f"You no longer have permission to read from this Channel topic: {self.name}")
        return not self._closed

    async def broadcast(self, payload: dict[str, Json] | UserBroadcast) -> Answer | None:
        """Pass it on; an answer where the client wants one. What may not be written is dropped without a word."""
        if self._policies is not None and not await self._policies.may_write("broadcast"):
            return None
        body = payload if isinstance(payload, UserBroadcast) else dumps(payload)
        size = len(body.payload) if isinstance(body, UserBroadcast) else len(body)
        if size > self._stage.limits.payload_bytes:
            refusal = ordered({"reason": "payload_size_exceeded"})
            return Answer(status="error", response=refusal) if self._request.ack else None
        announcement = Announcement(topic=self.topic, event="broadcast", body=body)
        but = None if self._request.to_self else self
        self._stage.hub.announce(announcement, private=self._request.private, but=but)
        return OK if self._request.ack else None

    async def presence(self, payload: dict[str, Json]) -> Answer | None:
        """`track` and `untrack`; None when that ended the channel."""
        event = payload.get("event")
        if event is None:
            return OK
        if self._too_often():
            self.end("Client presence rate limit exceeded")
            return None
        kind = event.lower() if isinstance(event, str) else ""
        if kind == "untrack":
            self._stage.hub.untrack(self)
            return OK
        return await self._track(payload.get("payload", {})) if kind == "track" else ERROR

    async def _track(self, tracked: Json) -> Answer | None:
        if self._policies is not None and not await self._policies.may_write("presence"):
            return ERROR
        if not isinstance(tracked, dict):
            return Answer(status="error", response=ordered({"reason": "Presence track payload must be a map"}))
        if len(dumps(tracked)) > self._stage.limits.payload_bytes:
            self.end("Track message size exceeded")
            return None
        if not self._sees_presence and self._policies is not None:
            await self._policies.may_read_presence()
        if self._closed:
            return None
        self._stage.hub.track(self, self._request.presence_key, tracked)
        self._owes_presence_state = not self._sees_presence
        self._sees_presence = True
        return OK

    def settle(self) -> None:
        """After the answer: who begins to track without having wanted to see the others is shown them now."""
        if self._owes_presence_state and not self._closed:
            self._send_presence_state()
        self._owes_presence_state = False

    def _too_often(self) -> bool:
        limits, now = self._stage.limits, time.monotonic()
        began, calls = self._presence_window
        if calls == 0 or now > began + limits.presence_window_s:
            began, calls = now, 0
        self._presence_window = (began, calls + 1)
        return calls >= limits.presence_calls

    # ── what the client is told ─────────────────────────────────────────────

    def send_change(self, data: str, ids: list[int]) -> None:
        """One row changed."""
        payload = f'{{"data":{data},"ids":{ordered(ids)}}}'
        self._push(frames.encode(self._version, self.topic, "postgres_changes", payload))

    def hear(self, announcement: Announcement) -> None:
        """Somebody said something, came or went; a private topic's policies decide whether it is heard."""
        policies = self._policies
        if policies is not None:
            heard = policies.read_broadcast if announcement.event == "broadcast" else policies.read_presence
            if not heard or announcement.id in self._replayed:
                return
        self._push_announcement(announcement)

    def _push_announcement(self, announcement: Announcement) -> None:
        frame = announcement.frame(self._version)
        if frame is not None:
            self._push(frame)

    def _send_presence_state(self) -> None:
        if self._policies is None or self._policies.read_presence:
            self._send("presence_state", self._stage.hub.present(self.address))

    def _system(self, message: str, status: str, extension: str) -> None:
        payload = {"message": message, "status": status, "extension": extension, "channel": self.name}
        self._send("system", ordered(payload))

    def _send(self, event: str, payload: str, *, ref: Ref = None) -> None:
        self._push(frames.encode(self._version, self.topic, event, payload, join_ref=self.join_ref, ref=ref))

    # ── token ───────────────────────────────────────────────────────────────

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        remaining = self.identity.remaining_s()
        if remaining is not None:
            delay = min(CLOCK_CHECK_S, max(0.0, remaining))
            self._expiry = asyncio.get_running_loop().call_later(delay, self._check_expiry)

    def _check_expiry(self) -> None:
        expired = self.identity.expired()
        if expired is None:
            self._watch_expiry()
        else:
            self.end(expired)

    def end(self, message: str) -> None:
        """Close by itself, and say why; at most once."""
        if not self._closed:
            self._system(message, "error", "system")
            self.close()
            self._ended(self)

    # ── subscription ────────────────────────────────────────────────────────

    def _subscribe(self) -> None:
        if not self._request.asked:
            return
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._subscribing = asyncio.create_task(self._keep_subscribing(), name=f"realtime subscribe {self.topic!r}")

    async def _keep_subscribing(self) -> None:
        """Until Postgres has answered: says nothing while it is away, like the genuine server."""
        try:
            bindings = tuple(parse_binding(each) for each in self._request.asked)
        except BindingError as err:
            self._system(str(err), "error", "postgres_changes")
            return
        while True:
            await self._stage.live.wait()
            try:
                await self._stage.database.check(self.identity.role, bindings)
            except SubscriptionRefused as err:
                self._stage.hub.unbind(self)
                self._system(str(err), "error", "postgres_changes")
                return
            except psycopg.OperationalError as err:
                _LOG.warning("a subscription waits for Postgres", topic=self.topic, error=str(err).strip())
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret
                continue
            if self._stage.live.is_set():
                break
        self.bindings = bindings
        self._stage.hub.bind(self)
        self._system("Subscribed to PostgreSQL", "ok", "postgres_changes")
