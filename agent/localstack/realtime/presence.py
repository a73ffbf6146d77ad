"""Who is present on a topic: what each channel tracks, told to all others as it changes.

As Phoenix.Presence does it: by key, with one `metas` entry per channel that tracks under it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.localstack.realtime.frames import dumps, ordered
from agent.model.value import Json

Address = tuple[str, bool]
"""A topic, and whether it is the private one of that name."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """One channel's entry."""

    key: str
    payload: dict[str, Json]
    ref: str
    previous_ref: str | None = None

    def meta(self) -> str:
        """JSON: the references, then what the client tracked."""
        refs: dict[str, Json] = {"phx_ref": self.ref}
        if self.previous_ref is not None:
            refs["phx_ref_prev"] = self.previous_ref
        rest = {name: value for name, value in self.payload.items() if name not in refs}
        return ordered(refs) if not rest else ordered(refs)[:-1] + "," + dumps(rest)[1:]


@dataclass(kw_only=True)
class Presences:
    """Everybody's entries. Each change returns the `presence_diff` to tell, None when there is none."""

    _tracked: dict[Address, dict[object, Presence]] = field(default_factory=dict)

    def track(self, address: Address, channel: object, key: str, payload: dict[str, Json]) -> str | None:
        """A channel is present, or what it says of itself changes."""
        entries = self._tracked.setdefault(address, {})
        before = entries.get(channel)
        if before is not None and before.payload == payload:
            return None
        now = Presence(key=key, payload=payload, ref=_new_ref(), previous_ref=None if before is None else before.ref)
        entries[channel] = now
        return _diff(joins=[now], leaves=[] if before is None else [before])

    def untrack(self, address: Address, channel: object) -> str | None:
        """A channel is gone, or does not want to be seen any more."""
        entries = self._tracked.get(address, {})
        before = entries.pop(channel, None)
        if not entries:
            self._tracked.pop(address, None)
        return None if before is None else _diff(joins=[], leaves=[before])

    def state(self, address: Address) -> str:
        """The payload of `presence_state`."""
        return _grouped(self._tracked.get(address, {}).values())


def _diff(*, joins: list[Presence], leaves: list[Presence]) -> str:
    return f'{{"joins":{_grouped(joins)},"leaves":{_grouped(leaves)}}}'


def _grouped(entries: Iterable[Presence]) -> str:
    keys: dict[str, list[str]] = {}
    for entry in entries:
        keys.setdefault(entry.key, []).append(entry.meta())
    return "{" + ",".join(f'{ordered(key)}:{{"metas":[{",".join(keys[key])}]}}' for key in sorted(keys)) + "}"


def _new_ref() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(12)).decode()
