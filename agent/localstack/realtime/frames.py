"""The Phoenix wire protocol, versions 1.0.0 (JSON objects) and 2.0.0 (JSON arrays, binary broadcasts).

Key order and the presence of every key are those of Supabase Realtime: clients in the wild depend on them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Literal

from agent.model.value import Json

Version = Literal["1.0.0", "2.0.0"]
Ref = str | int | None
Frame = str | bytes

USER_BROADCAST_PUSH = 3
USER_BROADCAST = 4
LONGEST_NAME = 255
"""Bytes of a string in a binary frame."""
_PUSH_HEADER = 7
"""Bytes before the strings of a binary push: its kind and the sizes of five strings and the encoding."""


@dataclass(frozen=True, kw_only=True)
class UserBroadcast:
    """A broadcast that came in a binary frame; its payload is passed on untouched."""

    event: str
    is_json: bool
    payload: bytes
    metadata: str = ""
    """JSON; what the server says of it."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a client."""

    join_ref: Ref
    ref: Ref
    topic: str
    event: str
    payload: dict[str, Json] | UserBroadcast


def dumps(value: Json) -> str:
    """Compact JSON, keys in alphabetical order: how the genuine server writes what clients sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def ordered(value: Json) -> str:
    """Compact JSON, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def finite_json(text: str) -> Json:
    """A JSON document that can be sent on: no NaN, no lone surrogates. ValueError, RecursionError."""
    data: Json = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    json.dumps(data, ensure_ascii=False).encode()
    return data


def decode(version: Version, frame: Frame) -> Message | None:
    """The message, or None for a frame that makes no sense: such frames are ignored."""
    if isinstance(frame, bytes):
        return _decode_binary(frame) if version == "2.0.0" else None
    try:
        data = finite_json(frame)
    except (ValueError, RecursionError):
        return None
    if version == "1.0.0" and isinstance(data, dict):
        parts = [data.get(key) for key in ("join_ref", "ref", "topic", "event", "payload")]
    elif version == "2.0.0" and isinstance(data, list):
        parts = data[:5]
    else:
        return None
    return _message(parts)


def _message(parts: list[Json]) -> Message | None:
    if len(parts) != 5:  # noqa: PLR2004  # the five parts of a Phoenix message
        return None
    join_ref, ref, topic, event, payload = parts
    refs_fit = all(each is None or isinstance(each, str | int) for each in (join_ref, ref))
    if not (refs_fit and isinstance(topic, str) and isinstance(event, str) and isinstance(payload, dict)):
        return None
    return Message(join_ref=join_ref, ref=ref, topic=topic, event=event, payload=payload)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _decode_binary(frame: bytes) -> Message | None:
    if len(frame) < _PUSH_HEADER or frame[0] != USER_BROADCAST_PUSH:
        return None
    *sizes, encoding = frame[1:_PUSH_HEADER]
    at, texts = _PUSH_HEADER, []
    for size in sizes:
        texts.append(frame[at : at + size])
        at += size
    if at > len(frame):
        return None
    payload = frame[at:]
    try:
        join_ref, ref, topic, event, _metadata = (text.decode() for text in texts)
        if encoding:
            json.loads(payload, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    broadcast = UserBroadcast(event=event, is_json=bool(encoding), payload=payload)
    return Message(join_ref=join_ref or None, ref=ref or None, topic=topic, event="broadcast", payload=broadcast)


def encode(version: Version, topic: str, event: str, payload: str, *, join_ref: Ref = None, ref: Ref = None) -> str:
    """A server frame. `payload` is JSON text; version 1 never shows `join_ref`, and always `ref`."""
    if version == "1.0.0":
        return f'{{"ref":{ordered(ref)},"event":{ordered(event)},"topic":{ordered(topic)},"payload":{payload}}}'
    return f"[{ordered(join_ref)},{ordered(ref)},{ordered(topic)},{ordered(event)},{payload}]"


def encode_broadcast(version: Version, topic: str, broadcast: UserBroadcast) -> Frame | None:
    """A binary broadcast; None when it cannot be expressed: bytes in version 1, names of more than 255 bytes."""
    if version == "1.0.0":
        if not broadcast.is_json:
            return None
        payload = f'{{"event":{ordered(broadcast.event)},"payload":{broadcast.payload.decode()},"type":"broadcast"}}'
        return encode(version, topic, "broadcast", payload)
    texts = [each.encode() for each in (topic, broadcast.event, broadcast.metadata)]
    if any(len(text) > LONGEST_NAME for text in texts):
        return None
    return bytes((USER_BROADCAST, *map(len, texts), int(broadcast.is_json))) + b"".join(texts) + broadcast.payload


@dataclass(kw_only=True)
class Announcement:
    """One message to everybody on a topic, written once for each protocol version."""

    topic: str
    event: str
    body: str | UserBroadcast
    """JSON text of the payload, or a broadcast in binary form."""
    id: str | None = None
    """Of the row in `realtime.messages` that it comes from."""
    _frames: dict[Version, Frame | None] = field(default_factory=dict)

    def frame(self, version: Version) -> Frame | None:
        """What goes over the wire; None when this version cannot express it."""
        if version not in self._frames:
            self._frames[version] = (
                encode_broadcast(version, self.topic, self.body)
                if isinstance(self.body, UserBroadcast)
                else encode(version, self.topic, self.event, self.body)
            )
        return self._frames[version]
