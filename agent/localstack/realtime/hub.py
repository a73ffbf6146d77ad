"""Who listens to what: the joined channels of all connections, by topic and by table.

Lives in one event loop; knows neither sockets nor Postgres.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from agent.localstack.realtime.bindings import Binding
from agent.localstack.realtime.frames import UserBroadcast
from agent.localstack.realtime.identity import Identity
from agent.model.value import Json

K = TypeVar("K")


class Listener(Protocol):
    """A joined channel, as the hub and the fan-out see it."""

    @property
    def topic(self) -> str:
        """`realtime:…`."""
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

    def send_broadcast(self, broadcast: dict[str, Json] | UserBroadcast) -> None:
        """Queue one broadcast."""
        ...


@dataclass(kw_only=True)
class Hub:
    """The registry. Adding and removing twice is harmless."""

    _joined: dict[str, dict[Listener, None]] = field(default_factory=lambda: defaultdict(dict))
    _bound: dict[tuple[str, str], dict[Listener, None]] = field(default_factory=lambda: defaultdict(dict))

    def join(self, channel: Listener) -> None:
        """From now on it gets the broadcasts of its topic."""
        self._joined[channel.topic][channel] = None

    def bind(self, channel: Listener) -> None:
        """From now on it gets changes of the tables it asked for."""
        for binding in channel.bindings:
            self._bound[binding.schema, binding.table][channel] = None

    def unbind(self, channel: Listener) -> None:
        """No more changes."""
        for binding in channel.bindings:
            _discard(self._bound, (binding.schema, binding.table), channel)

    def leave(self, channel: Listener) -> None:
        """No more of anything."""
        self.unbind(channel)
        _discard(self._joined, channel.topic, channel)

    def broadcast(self, sender: Listener, broadcast: dict[str, Json] | UserBroadcast, *, to_self: bool) -> None:
        """Pass a broadcast on to everybody who joined the sender's topic."""
        for channel in list(self._joined.get(sender.topic, ())):
            if to_self or channel is not sender:
                channel.send_broadcast(broadcast)

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
