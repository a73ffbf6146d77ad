"""Private channels: the policies on `realtime.messages` say who may hear and who may speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.localstack.realtime.conftest import Stack
from tests.localstack.realtime.phoenix import Phoenix

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLICIES = """
create policy hear on realtime.messages for select to authenticated
    using (auth.jwt() -> 'may' ? ('read ' || extension || ' ' || realtime.topic()));
create policy speak on realtime.messages for insert to authenticated
    with check (auth.jwt() -> 'may' ? ('write ' || extension || ' ' || realtime.topic()))
"""
PRIVATE: dict[str, Any] = {"private": True, "broadcast": {"self": True, "ack": True}}
HI = {"type": "broadcast", "event": "hi", "payload": {"n": 1}}
DENIED = "You do not have permissions to read from this Channel topic: room"
READ, WRITE = "read broadcast room", "write broadcast room"
SEE, SHOW = "read presence room", "write presence room"


@pytest_asyncio.fixture(loop_scope="session")
async def house(stack: Stack) -> AsyncIterator[Stack]:
    """The shared stack with policies that read the claim `may`."""
    await stack.sql(POLICIES)
    yield stack
    await stack.sql("drop policy hear on realtime.messages")
    await stack.sql("drop policy speak on realtime.messages")


async def enter(stack: Stack, *may: str, vsn: str = "1.0.0", **config: Any) -> Phoenix:
    client = await stack.client(vsn)
    reply = await client.join("realtime:room", token=stack.token(may=list(may)), **PRIVATE | config)
    assert reply["status"] == "ok", reply
    return client


async def silent(client: Phoenix) -> bool:
    await client.send("phoenix", "heartbeat", {})
    return (await client.next())[0] == "phoenix"


async def speak(client: Phoenix) -> None:
    await client.send("realtime:room", "broadcast", HI, join_ref="1")


async def test_without_a_policy_nobody_may_join(stack: Stack) -> None:
    client = await stack.client()
    reply = await client.join("realtime:room", token=stack.token(), **PRIVATE)
    assert reply == {"status": "error", "response": {"reason": f"Unauthorized: {DENIED}"}}


async def test_a_service_key_may_do_everything(stack: Stack) -> None:
    client = await stack.client()
    assert (await client.join("realtime:room", token=stack.keys.service_key, **PRIVATE))["status"] == "ok"
    await speak(client)
    assert (await client.next())[2] == HI


@pytest.mark.parametrize("may", [[], [WRITE], ["read broadcast other"], [SEE]])
async def test_who_may_not_read_may_not_join(house: Stack, may: list[str]) -> None:
    client = await house.client()
    reply = await client.join("realtime:room", token=house.token(may=may), **PRIVATE)
    assert reply == {"status": "error", "response": {"reason": f"Unauthorized: {DENIED}"}}


async def test_anon_is_asked_about_as_anon(house: Stack) -> None:
    client = await house.client()
    reply = await client.join("realtime:room", **PRIVATE)
    assert reply["response"]["reason"] == f"Unauthorized: {DENIED}"


async def test_who_may_read_hears_and_who_may_write_speaks(house: Stack) -> None:
    speaker, listener = await enter(house, READ, WRITE, vsn="2.0.0"), await enter(house, READ)
    await speak(speaker)
    assert (await speaker.next())[2] == HI
    assert (await speaker.next())[2] == {"status": "ok", "response": {}}
    assert (await listener.next())[2] == HI
    await speak(listener)  # dropped, and not even acknowledged
    assert await silent(listener)
    assert await silent(speaker)


async def test_a_private_topic_and_the_public_one_of_its_name_are_two(house: Stack) -> None:
    inside, outside = await enter(house, READ, WRITE), await house.client()
    await outside.join("realtime:room", broadcast={"self": True})
    await speak(inside)
    assert (await inside.next())[2] == HI
    await speak(outside)
    assert (await outside.next())[2] == HI
    assert await silent(outside)
    assert (await inside.next())[1] == "phx_reply"
    assert await silent(inside)


async def test_who_may_see_only_who_is_there_hears_nothing(house: Stack) -> None:
    presence = {"presence": {"key": "w", "enabled": True}}
    speaker = await enter(house, READ, WRITE)
    watcher = await enter(house, SEE, SHOW, **presence)
    assert (await watcher.next())[1:] == ("presence_state", {})
    await speak(speaker)
    assert (await speaker.next())[1] == "broadcast"
    assert await silent(watcher)
    await watcher.send("realtime:room", "presence", {"event": "track", "payload": {}}, join_ref="1")
    assert (await watcher.next())[1] == "presence_diff"


async def test_who_may_not_see_who_is_there_is_not_told(house: Stack) -> None:
    presence = {"presence": {"key": "w", "enabled": True}}
    watcher = await enter(house, SEE, SHOW, **presence)
    await watcher.next()
    hidden = await enter(house, READ, SHOW, **presence)
    late = await enter(house, READ, SEE, SHOW)
    for client in (watcher, late):
        await client.send("realtime:room", "presence", {"event": "track", "payload": {}}, join_ref="1")
        assert [(await client.next())[1] for _ in range(2)] == ["presence_diff", "phx_reply"]
    assert (await late.next())[1] == "presence_state"
    assert await silent(hidden)


async def test_who_may_not_be_present_is_told_so(house: Stack) -> None:
    client = await enter(house, READ, SEE, presence={"enabled": True})
    await client.next()
    await client.send("realtime:room", "presence", {"event": "track", "payload": {}}, join_ref="1")
    assert (await client.next())[2] == {"status": "error", "response": {}}


async def test_a_new_token_is_asked_about_anew(house: Stack) -> None:
    client = await enter(house, READ)
    await speak(client)
    assert await silent(client)
    await client.send("realtime:room", "access_token", {"access_token": house.token(may=[READ, WRITE])}, join_ref="1")
    await speak(client)
    assert [(await client.next())[1] for _ in range(2)] == ["broadcast", "phx_reply"]


@pytest.mark.parametrize(
    ("may", "message"),
    [
        ([], DENIED),
        ([SEE], "You no longer have permission to read from this Channel topic: room"),
    ],
)
async def test_a_new_token_that_may_not_read_closes_the_channel(house: Stack, may: list[str], message: str) -> None:
    client = await enter(house, READ, SEE, presence={"enabled": True})
    await client.next()
    await client.send("realtime:room", "access_token", {"access_token": house.token(may=may)}, join_ref="1")
    _, event, payload = await client.next()
    assert (event, payload["message"], payload["status"]) == ("system", message, "error")
    assert (await client.next())[1] == "phx_close"
    assert await silent(client)


async def test_a_policy_that_fails_lets_nobody_in(stack: Stack) -> None:
    await stack.sql("create policy broken on realtime.messages for select using (1 / (length(topic) - 4) > 0)")
    try:
        client = await stack.client()
        reply = await client.join("realtime:room", token=stack.token(), **PRIVATE)
        assert reply["response"]["reason"] == f"Unauthorized: {DENIED}"
        assert await silent(client)
    finally:
        await stack.sql("drop policy broken on realtime.messages")


async def test_policies_read_the_connections_own_headers(stack: Stack) -> None:
    await stack.sql(
        "create policy by_header on realtime.messages for select"
        " using (current_setting('request.headers')::jsonb ->> 'x-word' = 'sesame')"
    )
    try:
        for headers, status in (({}, "error"), ({"X-Word": "sesame"}, "ok")):
            client = await stack.client(additional_headers=headers)
            assert (await client.join("realtime:room", token=stack.token(), **PRIVATE))["status"] == status
    finally:
        await stack.sql("drop policy by_header on realtime.messages")


async def test_asking_leaves_nothing_behind(house: Stack) -> None:
    await speak(await enter(house, READ, WRITE))
    cursor = await house.database.execute("select count(*) from realtime.messages")
    assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize("topic", ["'; drop table tasks; --", '"', "\\", "%s", "é\u0001", "x" * 5000])
async def test_a_topic_is_data(house: Stack, topic: str) -> None:
    client = await house.client()
    token = house.token(may=[f"read broadcast {topic}"])
    assert (await client.join(f"realtime:{topic}", token=token, **PRIVATE))["status"] == "ok"


async def test_a_topic_that_postgres_cannot_represent_is_not_joined(house: Stack) -> None:
    client = await house.client()
    reply = await client.join("realtime:a\0b", token=house.token(may=["read broadcast a\0b"]), **PRIVATE)
    assert reply["status"] == "error"
    assert await silent(client)


async def test_changes_come_on_a_private_channel_as_on_any_other(house: Stack) -> None:
    client = await house.client()
    memos = {"event": "*", "schema": "public", "table": "memos"}
    token = house.token(may=[READ])
    assert (await client.join("realtime:room", memos, token=token, **PRIVATE))["status"] == "ok"
    assert (await client.next())[1] == "system"
    await house.sql("insert into memos values (1, 'x')")
    assert (await client.change())["record"] == {"id": 1, "body": "x"}
