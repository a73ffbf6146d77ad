"""Presence: who is there, told as Phoenix.Presence tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.localstack.realtime import ChannelLimits, Realtime
from tests.localstack.realtime.conftest import Stack, served
from tests.localstack.realtime.phoenix import Phoenix, dial

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCHING = {"presence": {"key": "", "enabled": True}}


def under(key: Any) -> dict[str, Any]:
    return {"presence": {"key": key, "enabled": True}}


async def enter(client: Phoenix, topic: str, **config: Any) -> Any:
    """Join, return the `presence_state` that follows the reply."""
    assert (await client.join(topic, **config))["status"] == "ok"
    _, event, state = await client.next()
    assert event == "presence_state"
    return state


async def say(client: Phoenix, event: str, payload: Any = None, topic: str = "realtime:p") -> None:
    await client.send(topic, "presence", {"type": "presence", "event": event, "payload": payload}, join_ref="1")


async def diff(client: Phoenix) -> Any:
    _, event, payload = await client.next()
    assert event == "presence_diff", (event, payload)
    return payload


async def reply(client: Phoenix) -> Any:
    _, event, payload = await client.next()
    assert event == "phx_reply", (event, payload)
    return payload


def shown(entries: Any) -> Any:
    """Without the references, which are new each time."""
    return {
        key: [{name: value for name, value in meta.items() if not name.startswith("phx_")} for meta in entry["metas"]]
        for key, entry in entries.items()
    }


async def test_who_joins_is_shown_who_is_there_and_hears_who_comes_and_goes(stack: Stack) -> None:
    ann, bob = await stack.client("2.0.0"), await stack.client("1.0.0")
    assert await enter(ann, "realtime:p", **under("ann")) == {}
    await say(ann, "track", {"mood": "calm", "at": 1})
    told = await diff(ann)
    assert (shown(told["joins"]), told["leaves"]) == ({"ann": [{"at": 1, "mood": "calm"}]}, {})
    assert await reply(ann) == {"status": "ok", "response": {}}
    assert shown(await enter(bob, "realtime:p", **under("bob"))) == {"ann": [{"at": 1, "mood": "calm"}]}
    await say(bob, "track", {})
    for client in (ann, bob):
        assert shown((await diff(client))["joins"]) == {"bob": [{}]}
    await bob.connection.close()
    gone = await diff(ann)
    assert (gone["joins"], shown(gone["leaves"])) == ({}, {"bob": [{}]})


async def test_the_frames_are_the_genuine_ones(stack: Stack) -> None:
    client = await stack.client("2.0.0")
    await client.join("realtime:p", **under("k"))
    assert await client.raw() == '["1",null,"realtime:p","presence_state",{}]'
    await say(client, "track", {"z": 1, "a": "é"})
    text = str(await client.raw())
    ref = json.loads(text)[4]["joins"]["k"]["metas"][0]["phx_ref"]
    assert text == (
        '[null,null,"realtime:p","presence_diff",{"joins":{"k":{"metas":[{"phx_ref":"'
        f'{ref}","a":"é","z":1}}]}}}},"leaves":{{}}}}]'
    )
    assert await client.raw() == '["1","2","realtime:p","phx_reply",{"status":"ok","response":{}}]'


async def test_what_is_tracked_anew_replaces_what_was_and_names_it(stack: Stack) -> None:
    client = await stack.client()
    await enter(client, "realtime:p", **under("k"))
    await say(client, "track", {"n": 1})
    first = (await diff(client))["joins"]["k"]["metas"][0]
    await reply(client)
    await say(client, "track", {"n": 1})  # nothing new: nothing told
    assert (await reply(client))["status"] == "ok"
    await say(client, "TRACK", {"n": 2})
    second = await diff(client)
    assert second["leaves"] == {"k": {"metas": [first]}}
    (meta,) = second["joins"]["k"]["metas"]
    assert (meta["n"], meta["phx_ref_prev"]) == (2, first["phx_ref"])
    assert meta["phx_ref"] != first["phx_ref"]


async def test_untracking_and_leaving_are_told_to_the_others(stack: Stack) -> None:
    ann, bob = await stack.client(), await stack.client()
    await enter(ann, "realtime:p", **WATCHING)
    await enter(bob, "realtime:p", **under("b"))
    for leave in ("untrack", "phx_leave"):
        await say(bob, "track", {"n": leave})
        assert shown((await diff(ann))["joins"]) == {"b": [{"n": leave}]}
        if leave == "untrack":
            await say(bob, "untrack")
        else:
            await bob.send("realtime:p", "phx_leave", {}, join_ref="1")
        assert shown((await diff(ann))["leaves"]) == {"b": [{"n": leave}]}


async def test_two_channels_under_one_key_are_two_entries_of_it(stack: Stack) -> None:
    watcher = await stack.client()
    for number in (1, 2):
        client = await stack.client()
        await enter(client, "realtime:p", **under("shared"))
        await say(client, "track", {"n": number})
        await diff(client)
        await reply(client)
    assert shown(await enter(watcher, "realtime:p", **WATCHING)) == {"shared": [{"n": 1}, {"n": 2}]}


@pytest.mark.parametrize(("key", "expected"), [(7, "7"), (True, "true"), ("é", "é")])
async def test_a_key_may_be_a_text_a_number_or_a_boolean(stack: Stack, key: Any, expected: str) -> None:
    client = await stack.client()
    await enter(client, "realtime:p", **under(key))
    await say(client, "track", {})
    assert list((await diff(client))["joins"]) == [expected]


async def test_without_a_key_everybody_gets_one_of_their_own(stack: Stack) -> None:
    keys = set()
    for given in ("", None, {"no": "key"}):
        client = await stack.client()
        await enter(client, "realtime:own", **under(given))
        await say(client, "track", {}, "realtime:own")
        keys |= set((await diff(client))["joins"])
    assert len(keys) == 3


async def test_presence_that_was_not_wanted_begins_with_the_first_track(stack: Stack) -> None:
    there, late = await stack.client(), await stack.client()
    await enter(there, "realtime:p", **under("there"))
    await say(there, "track", {"n": 1})
    await late.join("realtime:p")
    await say(late, "track", {"n": 2})
    await diff(late)
    assert (await reply(late))["status"] == "ok"
    _, event, state = await late.next()
    assert event == "presence_state"
    assert sorted(meta["n"] for metas in shown(state).values() for meta in metas) == [1, 2]


async def test_a_join_that_does_not_mention_presence_wants_it(stack: Stack) -> None:
    client = await stack.client()
    await client.send("realtime:p", "phx_join", {"config": {}})
    assert [(await client.next())[1] for _ in range(2)] == ["phx_reply", "presence_state"]


async def test_what_makes_no_sense_is_refused_and_a_message_without_event_is_not(stack: Stack) -> None:
    client = await stack.client()
    await enter(client, "realtime:p", **WATCHING)
    await say(client, "track", "no map")
    reason = {"reason": "Presence track payload must be a map"}
    assert await reply(client) == {"status": "error", "response": reason}
    await say(client, "dance")
    assert await reply(client) == {"status": "error", "response": {}}
    await client.send("realtime:p", "presence", {}, join_ref="1")
    assert await reply(client) == {"status": "ok", "response": {}}


async def test_a_sixth_call_within_thirty_seconds_closes_the_channel(stack: Stack) -> None:
    client = await stack.client()
    await enter(client, "realtime:p", **WATCHING)
    for _ in range(5):
        await say(client, "untrack")
        assert (await reply(client))["status"] == "ok"
    await say(client, "untrack")
    _, event, payload = await client.next()
    assert (event, payload["message"]) == ("system", "Client presence rate limit exceeded")
    assert (await client.next())[1] == "phx_close"


async def test_after_the_window_calls_count_anew_and_too_much_to_track_closes_the_channel(stack: Stack) -> None:
    limits = ChannelLimits(presence_calls=1, presence_window_s=-1, payload_bytes=100)
    realtime = Realtime(dsn=stack.dsn, keys=stack.keys, channel_limits=limits)
    await realtime.start()
    async with served(realtime) as port:
        client = await dial(stack.url().replace(str(stack.port), str(port)))
        await enter(client, "realtime:p", **WATCHING)
        for _ in range(3):
            await say(client, "untrack")
            assert (await reply(client))["status"] == "ok"
        await say(client, "track", {"x": "y" * 100})
        assert (await client.next())[2]["message"] == "Track message size exceeded"
        assert (await client.next())[1] == "phx_close"
        await client.connection.close()
        await realtime.stop()
