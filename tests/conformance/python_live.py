"""Realtime through supabase-py: channels, what they hear, presence."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from typing import Any

from realtime import RealtimeSubscribeStates
from realtime.exceptions import RealtimeHTTPError

from tests.conformance.python_wire import Wired
from tests.support.waiting import wait_until

PATIENCE_S = 15.0


class Ear:
    """One channel, and everything that it was told."""

    def __init__(self, client: Wired, step: dict[str, Any]) -> None:
        self.heard: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.trouble: str | None = None
        self.system: list[str] = []
        config = {"private": False, **step["config"]}
        config["broadcast"] = {"ack": False, "self": False, **config.get("broadcast", {})}
        config["presence"] = {"key": "", "enabled": False, **config.get("presence", {})}
        self.channel = client.supabase.channel(step["topic"], {"config": config})  # type: ignore[typeddict-item]
        self.wants_changes = False
        for number, binding in enumerate(step["bind"]):
            self._listen(number, binding)
        self.channel.on_system(lambda payload: self.system.append(payload.message))

    def _listen(self, number: int, binding: dict[str, Any]) -> None:
        if "changes" in binding:
            self.wants_changes = True
            wanted = dict(binding["changes"])
            event = wanted.pop("event", "*")
            self.channel.on_postgres_changes(event, lambda told: self._change(number, told), **wanted)
        if "broadcast" in binding:
            self.channel.on_broadcast(binding["broadcast"], lambda told: self._message(number, told))
        if "presence" in binding:
            self.channel.on_presence_sync(lambda: None)

    def _change(self, number: int, told: Any) -> None:
        data = told["data"]
        rows = {"new": data.get("record") or {}, "old": data.get("old_record") or {}}
        self.heard.append({"by": number, "type": str(getattr(data["type"], "value", data["type"])), **rows})

    def _message(self, number: int, told: Any) -> None:
        payload = told["payload"]
        if isinstance(payload, bytes):
            payload = {"base64": base64.b64encode(payload).decode()}
        self.heard.append({"by": number, "event": told["event"], "payload": payload})

    async def subscribe(self) -> dict[str, Any]:
        """`{state, system, trouble}` once it is known whether it listens."""
        await self.channel.subscribe(self._state)
        await _patiently(lambda: bool(self.states))
        if self.wants_changes and self.states[-1:] == ["SUBSCRIBED"]:
            await _patiently(lambda: bool(self.system) or len(self.states) > 1)
        return {
            "state": next(iter(self.states), "nothing"),
            "trouble": self.trouble,
            "system": self.system[-1] if self.system else None,
        }

    def _state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        self.states.append(state.value)
        if error is not None and self.trouble is None:
            self.trouble = str(error)

    async def hear(self, first: int) -> list[dict[str, Any]]:
        """Everything heard, when it is so much or time is up."""
        await _patiently(lambda: len(self.heard) >= first)
        return list(self.heard)

    async def present(self, keys: list[str]) -> dict[str, Any]:
        """The presence state, when it has just these keys or time is up."""
        await _patiently(lambda: sorted(self.channel.presence_state()) == sorted(keys))
        state = self.channel.presence_state()
        return {
            key: [{name: value for name, value in dict(each).items() if name != "presence_ref"} for each in metas]
            for key, metas in state.items()
        }


async def live(client: Wired, ears: dict[str, Ear], step: dict[str, Any]) -> dict[str, Any]:
    """One of the Realtime verbs."""
    verb = step["verb"]
    name = step[verb]
    if verb == "join":
        ears[name] = Ear(client, step)
        return {"data": await ears[name].subscribe()}
    if verb == "token":
        await client.supabase.realtime.set_auth(name)
        return {"data": None}
    ear = ears[name]
    if verb == "hear":
        return {"data": await ear.hear(step["first"])}
    if verb == "present":
        return {"data": await ear.present(step["keys"])}
    if verb == "post":
        return await _post(ear, step)
    if verb == "say":
        await ear.channel.send_broadcast(step["event"], step["payload"])
    elif verb == "track":
        await ear.channel.track(step["payload"])
    elif verb == "untrack":
        await ear.channel.untrack()
    else:
        await client.supabase.remove_channel(ear.channel)
    return {"data": None}


async def _post(ear: Ear, step: dict[str, Any]) -> dict[str, Any]:
    try:
        await ear.channel.http_send(step["event"], step["payload"])
    except RealtimeHTTPError as err:
        return {"error": {"message": str(err)}}
    return {"data": None}


async def _patiently(condition: Callable[[], bool]) -> None:
    """What does not come is seen by the verdict."""
    with contextlib.suppress(AssertionError):
        await wait_until(condition, PATIENCE_S)
