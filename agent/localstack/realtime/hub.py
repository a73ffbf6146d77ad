"""Who listens to what: the joined channels of all connections, by topic and by table.

Lives in one event loop; knows neither sockets nor Postgres.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from agent.localstack.realtime.bindings import Binding
from agent.localstack.realtime.frames import Announcement
from agent.localstack.realtime.identity import Identity
from agent.localstack.realtime.presence import Address, Presences
from agent.model.value import Json

K = TypeVar("K")


class Listener(Protocol):
    """A joined channel, as the hub and the fan-out see it."""

    @property
    def address(self) -> Address:
        """`realtime:…`, and whether it is the private topic of that name."""
        ...

    @property
    def identity(self) -> Identity:
        """Whose rights decide what is sent."""
        ...

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What it asked for."""
        ...

    def send_change(self, data: str, ids: list[int]) -> None:
        """Queue one change: JSON text, and the bindings it answers."""
        ...

    def hear(self, announcement: Announcement) -> None:
        """Queue one broadcast or change of presence, if it may be heard."""
        ...

    def end(self, message: str) -> None:
        """Close it, and say why."""
        ...


@dataclass(kw_only=True)
class Hub:
    """The registry. Adding and removing twice is harmless."""

    _joined: dict[Address, dict[Listener, None]] = field(default_factory=lambda: defaultdict(dict))
    _bound: dict[tuple[str, str], dict[Listener, None]] = field(default_factory=lambda: defaultdict(dict))
    _presences: Presences = field(default_factory=Presences)

    def join(self, channel: Listener) -> None:
        """From now on it hears what is said on its topic."""
        self._joined[channel.address][channel] = None

    def bind(self, channel: Listener) -> None:
        """From now on it gets changes of the tables it asked for."""
        for binding in channel.bindings:
            self._bound[binding.schema, binding.table][channel] = None

    def unbind(self, channel: Listener) -> None:
        """No more changes."""
        for binding in channel.bindings:
            _discard(self._bound, (binding.schema, binding.table), channel)

    def leave(self, channel: Listener) -> None:
        """No more of anything; whoever stays hears that it is not present any more."""
        self.unbind(channel)
        _discard(self._joined, channel.address, channel)
        self.untrack(channel)

    def announce(self, announcement: Announcement, *, private: bool, but: Listener | None = None) -> None:
        """Pass something on to everybody who joined its topic."""
        for channel in list(self._joined.get((announcement.topic, private), ())):
            if channel is not but:
                channel.hear(announcement)

    def track(self, channel: Listener, key: str, payload: dict[str, Json]) -> None:
        """It is present under `key`; everybody hears of it."""
        self._tell(channel.address, self._presences.track(channel.address, channel, key, payload))

    def untrack(self, channel: Listener) -> None:
        """It is present no more."""
        self._tell(channel.address, self._presences.untrack(channel.address, channel))

    def present(self, address: Address) -> str:
        """The payload of `presence_state`."""
        return self._presences.state(address)

    def _tell(self, address: Address, diff: str | None) -> None:
        if diff is not None:
            topic, private = address
            self.announce(Announcement(topic=topic, event="presence_diff", body=diff), private=private)

    def listened_to(self, schema: str, table: str) -> bool:
        """Whether any channel asked for changes of this table."""
        return any(self._bound.get(key) for key in ((schema, table), (schema, "*"), ("*", table), ("*", "*")))

    def listeners(self, schema: str, table: str, action: str) -> Iterator[tuple[Listener, Binding]]:
        """Every channel whose token is still good, with each binding that takes this change."""
        found: dict[Listener, None] = {}
        for key in ((schema, table), (schema, "*"), ("*", table), ("*", "*")):
            found |= self._bound.get(key, {})
        for channel in found:
            if channel.identity.expired():
                continue
            for binding in channel.bindings:
                fits = binding.schema in ("*", schema) and binding.table in ("*", table)
                if fits and binding.takes(action):
                    yield channel, binding


def _discard(registry: dict[K, dict[Listener, None]], key: K, channel: Listener) -> None:
    channels = registry.get(key)
    if channels is not None:
        channels.pop(channel, None)
        if not channels:
            del registry[key]
