"""One joined topic of one connection: its token, its bindings, its broadcasts.

The channel ends by leave, by a second join of its topic, by a token that ran out, or with its connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import structlog

from agent.localstack.keys import Keys
from agent.localstack.realtime import frames, identity
from agent.localstack.realtime.bindings import Binding, BindingError, binding_id, parse_binding
from agent.localstack.realtime.database import Database, SubscriptionRefused
from agent.localstack.realtime.frames import Frame, Message, Ref, UserBroadcast, Version, ordered
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity, IdentityRefused
from agent.model.value import Json

TOPIC_PREFIX = "realtime:"
MAX_BINDINGS = 100
CLOCK_CHECK_S = 60.0
"""An expiry further away is looked at again: the event loop's clock stands still while the machine sleeps."""
RETRY_S = 2.0
_LOG = structlog.get_logger()


class JoinRefused(Exception):
    """The reason goes into the `phx_reply` of the join."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What every channel works with."""

    keys: Keys
    hub: Hub
    database: Database
    live: asyncio.Event
    """Set while the change feed is up."""


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """A join payload that passed."""

    identity: Identity
    asked: list[dict[str, Json]]
    """`postgres_changes` as sent."""
    ack: bool
    to_self: bool

    @property
    def echo(self) -> str:
        """The reply: every binding as sent, with its id first."""
        entries = (f'{{"id":{binding_id(each)}' + _rest(each) for each in self.asked)
        return '{"postgres_changes":[' + ",".join(entries) + "]}"


def _rest(asked: dict[str, Json]) -> str:
    known = {key: value for key, value in asked.items() if key != "id"}
    return "," + frames.dumps(known)[1:] if known else "}"


def read_join(keys: Keys, payload: dict[str, Json], connection: Identity) -> JoinRequest:
    """What the client wants, or JoinRefused."""
    config = payload.get("config")
    if not isinstance(config, dict):
        raise JoinRefused("not implemented by the local stack: joining without a config")
    for name, wanted in (
        ("private channels", _flag(config, "private")),
        ("presence", _flag(config.get("presence"), "enabled")),
        ("broadcast replay", isinstance(config.get("broadcast"), dict) and "replay" in config["broadcast"]),
    ):
        if wanted:
            raise JoinRefused(f"not implemented by the local stack: {name}")
    entries = config.get("postgres_changes")
    asked = [each for each in entries if each is not None] if isinstance(entries, list) else []
    if len(asked) > MAX_BINDINGS or not all(isinstance(each, dict) for each in asked):
        raise JoinRefused(f"postgres_changes must be at most {MAX_BINDINGS} objects")
    return JoinRequest(
        identity=_join_identity(keys, payload, connection),
        asked=asked,
        ack=_flag(config.get("broadcast"), "ack"),
        to_self=_flag(config.get("broadcast"), "self"),
    )


def _flag(options: Json, name: str) -> bool:
    return isinstance(options, dict) and options.get(name) in (True, "true")


def _join_identity(keys: Keys, payload: dict[str, Json], connection: Identity) -> Identity:
    token = payload.get("user_token") or payload.get("access_token")
    if not isinstance(token, str) or token.startswith("sb_"):
        if connection.expires_at is None:
            return connection
        token = connection.token
    try:
        return identity.of_token(keys, token)
    except IdentityRefused as err:
        raise JoinRefused(err.at_join) from None


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
        self._expiry: asyncio.TimerHandle | None = None
        self._subscribing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin: after the reply to the join is queued."""
        self._stage.hub.join(self)
        self._watch_expiry()
        self._subscribe()

    def close(self) -> None:
        """End, and say so with `phx_close`."""
        self.drop()
        self._send("phx_close", "{}", ref=self.join_ref)

    def drop(self) -> None:
        """End without a word: the connection is gone."""
        self._stage.hub.leave(self)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._subscribing is not None:
            self._subscribing.cancel()

    # ── what the client says ────────────────────────────────────────────────

    def refresh(self, payload: dict[str, Json]) -> None:
        """`access_token`: a new token changes what is seen from now on; one that is not accepted ends the channel."""
        token = payload.get("access_token")
        if not isinstance(token, str) or token.startswith("sb_") or token == self.identity.token:
            return
        try:
            self.identity = identity.of_token(self._stage.keys, token)
        except IdentityRefused as err:
            self._expire(err.at_refresh)
            return
        self._watch_expiry()
        self._subscribe()

    def broadcast(self, payload: dict[str, Json] | UserBroadcast) -> bool:
        """Pass it on; True when the client wants an answer."""
        self._stage.hub.broadcast(self, payload, to_self=self._request.to_self)
        return self._request.ack

    # ── what the client is told ─────────────────────────────────────────────

    def send_change(self, data: str, ids: list[int]) -> None:
        """One row changed."""
        payload = f'{{"data":{data},"ids":{ordered(ids)}}}'
        self._push(frames.encode(self._version, self.topic, "postgres_changes", payload))

    def send_broadcast(self, broadcast: dict[str, Json] | UserBroadcast) -> None:
        """Somebody said something."""
        frame = frames.encode_broadcast(self._version, self.topic, broadcast)
        if frame is not None:
            self._push(frame)

    def _system(self, message: str, status: str, extension: str) -> None:
        name = self.topic.removeprefix(TOPIC_PREFIX)
        payload = {"message": message, "status": status, "extension": extension, "channel": name}
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
            self._expire(expired)

    def _expire(self, message: str) -> None:
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
