"""Who is listening: tables, topics, and tokens that ran out while nobody looked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from agent.localstack.realtime.bindings import Binding, parse_binding
from agent.localstack.realtime.frames import Announcement
from agent.localstack.realtime.hub import Hub
from agent.localstack.realtime.identity import Identity


@dataclass(eq=False)
class Ear:
    """A listener that keeps what it hears."""

    bindings: tuple[Binding, ...] = ()
    identity: Identity = field(default_factory=lambda: who(None))
    address: tuple[str, bool] = ("realtime:t", False)
    heard: list[Any] = field(default_factory=list)

    def send_change(self, data: str, ids: list[int]) -> None:
        self.heard.append((data, ids))

    def end(self, message: str) -> None:
        self.heard.append(message)

    def hear(self, announcement: Announcement) -> None:
        self.heard.append((announcement.event, announcement.body))


def who(expires_at: float | None) -> Identity:
    return Identity(role="anon", claims={}, token="", expires_at=expires_at)


def bound(hub: Hub, *params: Any, **more: Any) -> Ear:
    ear = Ear(tuple(parse_binding(each) for each in params), **more)
    hub.bind(ear)
    return ear


def test_bindings_are_found_by_name_and_by_wildcard() -> None:
    hub = Hub()
    exact = bound(hub, {"schema": "public", "table": "t", "event": "INSERT"})
    schema = bound(hub, {"schema": "public"})
    table = bound(hub, {"schema": "*", "table": "t"})
    everything = bound(hub, {"schema": "*"})
    bound(hub, {"schema": "public", "table": "other"})
    assert [ear for ear, _ in hub.listeners("public", "t", "INSERT")] == [exact, schema, table, everything]
    assert [ear for ear, _ in hub.listeners("public", "t", "DELETE")] == [schema, table, everything]
    assert [ear for ear, _ in hub.listeners("inner", "t", "INSERT")] == [table, everything]
    hub.leave(everything)
    assert [hub.listened_to("inner", name) for name in ("t", "other")] == [True, False]
    assert hub.listened_to("public", "another")


def test_who_listens_twice_is_found_once_per_binding() -> None:
    hub = Hub()
    bound(hub, {"schema": "public", "table": "t"}, {"schema": "public"}, {"schema": "public", "table": "u"})
    assert [binding.table for _, binding in hub.listeners("public", "t", "UPDATE")] == ["t", "*"]


def test_a_token_that_ran_out_hears_nothing_even_before_its_timer_noticed() -> None:
    """The machine slept: the event loop's timers stood still, the wall clock did not."""
    hub = Hub()
    bound(hub, {"schema": "public"}, identity=who(time.time() - 1))
    good = bound(hub, {"schema": "public"}, identity=who(time.time() + 60))
    assert [ear for ear, _ in hub.listeners("public", "t", "INSERT")] == [good]


def test_leaving_ends_both_changes_and_broadcasts_and_leaves_nothing_behind() -> None:
    hub = Hub()
    ear, other = bound(hub, {"schema": "public"}), Ear()
    hub.join(ear)
    hub.join(other)
    hub.leave(ear)
    hub.leave(ear)
    hub.announce(Announcement(topic="realtime:t", event="broadcast", body="{}"), private=False, but=other)
    assert list(hub.listeners("public", "t", "INSERT")) == []
    assert ear.heard == other.heard == []
    hub.leave(other)
    assert hub == Hub()
