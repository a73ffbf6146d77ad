"""What a client asks for when it joins a topic: `phx_join` payloads.

Texts of refusals are those of Supabase Realtime where it would refuse.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from agent.localstack.keys import Keys
from agent.localstack.realtime import frames, identity
from agent.localstack.realtime.bindings import binding_id
from agent.localstack.realtime.identity import Identity, IdentityRefused
from agent.model.value import Json

MAX_BINDINGS = 100
REPLAY_LIMIT = 25
REPLAY_DEFAULT = 10
LATEST_MS = 253_402_300_799_000
"""The end of the year 9999: Postgres takes it for a time."""


class JoinRefused(Exception):
    """The reason goes into the `phx_reply` of the join."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Which broadcasts of before the join are wanted."""

    since_ms: int
    limit: int


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """A join payload that passed."""

    identity: Identity
    asked: list[dict[str, Json]]
    """`postgres_changes` as sent."""
    ack: bool
    to_self: bool
    private: bool
    presence: bool
    """Whether it wants to see who is present."""
    presence_key: str
    replay: Replay | None

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
    entries = config.get("postgres_changes")
    asked = [each for each in entries if each is not None] if isinstance(entries, list) else []
    if len(asked) > MAX_BINDINGS or not all(isinstance(each, dict) for each in asked):
        raise JoinRefused(f"postgres_changes must be at most {MAX_BINDINGS} objects")
    presence = config.get("presence")
    return JoinRequest(
        identity=_join_identity(keys, payload, connection),
        asked=asked,
        ack=_flag(config.get("broadcast"), "ack"),
        to_self=_flag(config.get("broadcast"), "self"),
        private=_flag(config, "private"),
        presence=_flag(presence, "enabled") if isinstance(presence, dict) else True,
        presence_key=_presence_key(presence),
        replay=_replay(config),
    )


def _presence_key(presence: Json) -> str:
    """A text, number or boolean that the client chose; else one that nobody else has."""
    key = presence.get("key") if isinstance(presence, dict) else None
    if isinstance(key, str) and key:
        return key
    return frames.ordered(key) if isinstance(key, int | float) else str(uuid.uuid1())


def _replay(config: dict[str, Json]) -> Replay | None:
    broadcast = config.get("broadcast")
    if not isinstance(broadcast, dict) or "replay" not in broadcast:
        return None
    if not _flag(config, "private"):
        raise JoinRefused("UnableToReplayMessages: Replay is not allowed for public channels")
    wanted = broadcast["replay"]
    if not isinstance(wanted, dict):
        return None
    since, limit = wanted.get("since") or 0, wanted.get("limit") or REPLAY_DEFAULT
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in (since, limit)):
        raise JoinRefused("UnableToReplayMessages: Replay params are not valid")
    return Replay(since_ms=max(-LATEST_MS, min(since, LATEST_MS)), limit=max(1, min(limit, REPLAY_LIMIT)))


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
