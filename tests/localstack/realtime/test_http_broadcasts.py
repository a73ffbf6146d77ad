"""`/realtime/v1/api/broadcast`: broadcasting without a websocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.localstack.realtime.conftest import Stack
from tests.localstack.realtime.phoenix import Phoenix
from tests.localstack.realtime.test_private import POLICIES, READ, WRITE

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLANK, INVALID = ["can't be blank"], ["is invalid"]
HI = {"topic": "room", "event": "hi", "payload": {"n": 1}}


@pytest_asyncio.fixture(loop_scope="session")
async def house(stack: Stack) -> AsyncIterator[Stack]:
    await stack.sql(POLICIES)
    yield stack
    await stack.sql("drop policy hear on realtime.messages")
    await stack.sql("drop policy speak on realtime.messages")


async def post(
    stack: Stack, path: str = "", *, token: str | None = None, key: str | None = "", **how: Any
) -> httpx.Response:
    headers = dict(how.pop("headers", {}))
    if key is not None:
        headers["apikey"] = key or stack.keys.publishable_key
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient() as client:
        address = f"http://127.0.0.1:{stack.port}/realtime/v1/api/broadcast{path}"
        return await client.post(address, headers=headers, **how)


async def batch(stack: Stack, *messages: Any, **how: Any) -> httpx.Response:
    return await post(stack, json={"messages": list(messages)}, **how)


async def listener(stack: Stack, vsn: str = "1.0.0", *, private: bool = False, topic: str = "room") -> Phoenix:
    client = await stack.client(vsn)
    token = stack.token(may=[f"read broadcast {topic}"])
    assert (await client.join(f"realtime:{topic}", token=token, private=private))["status"] == "ok"
    return client


async def test_a_batch_reaches_its_topics_in_order(stack: Stack) -> None:
    room, hall = await listener(stack, "2.0.0"), await listener(stack, topic="hall")
    answer = await batch(stack, HI, {**HI, "topic": "hall"}, {**HI, "event": "again"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert (
        await room.raw()
        == '[null,null,"realtime:room","broadcast",{"event":"hi","payload":{"n":1},"type":"broadcast"}]'
    )
    assert (await room.next())[2]["event"] == "again"
    assert (await hall.next())[2] == {"event": "hi", "payload": {"n": 1}, "type": "broadcast"}


async def test_a_private_message_is_told_where_the_policies_let_its_sender_write(house: Stack) -> None:
    inside, outside = await listener(house, private=True), await listener(house)
    private = {**HI, "private": True}
    assert (await batch(house, {**private, "event": "denied"}, token=house.token(may=[READ]))).status_code == 202
    assert (await batch(house, {**private, "event": "anon"})).status_code == 202
    assert (await batch(house, private, token=house.token(may=[READ, WRITE]))).status_code == 202
    assert (await inside.next())[2]["event"] == "hi"
    assert (await batch(house, {**private, "event": "service"}, key=house.keys.secret_key)).status_code == 202
    assert (await inside.next())[2]["event"] == "service"
    assert (await batch(house, {**HI, "event": "public"})).status_code == 202
    assert (await outside.next())[2]["event"] == "public"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"messages": BLANK}),
        ([], {"messages": BLANK}),
        ({"messages": []}, {"messages": BLANK}),
        ({"messages": "x"}, {"messages": INVALID}),
        ({"messages": ["x"]}, {"messages": INVALID}),
        ({"messages": [{}]}, {"messages": [{"topic": BLANK, "event": BLANK, "payload": BLANK}]}),
        ({"messages": [HI, {**HI, "topic": " "}]}, {"messages": [{}, {"topic": BLANK}]}),
        (
            {"messages": [{"topic": 1, "event": [], "payload": "x", "private": 2}]},
            {"messages": [{"topic": INVALID, "event": INVALID, "payload": INVALID, "private": INVALID}]},
        ),
    ],
)
async def test_what_is_wrong_with_a_batch_is_said_and_nothing_is_sent(stack: Stack, body: Any, errors: Any) -> None:
    room = await listener(stack)
    answer = await post(stack, json=body)
    assert (answer.status_code, answer.json()) == (422, {"errors": errors})
    await room.send("phoenix", "heartbeat", {})
    assert (await room.next())[0] == "phoenix"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"messages": NaN}', b"[" * 100_000, b'"\\ud800"'])
async def test_a_body_that_is_no_json_is_a_bad_request(stack: Stack, body: bytes) -> None:
    assert (await post(stack, content=body)).status_code == 400


async def test_a_key_is_needed_and_a_token_must_be_good(stack: Stack) -> None:
    assert (await batch(stack, HI, key=None)).status_code == 401
    assert (await batch(stack, HI, key="nonsense")).status_code == 401
    for token in ("nonsense", stack.token(ttl_s=-1)):
        answer = await batch(stack, HI, token=token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert (await batch(stack, HI, token=stack.keys.publishable_key)).status_code == 202


async def test_a_payload_that_is_too_large_is_refused(stack: Stack) -> None:
    answer = await batch(stack, {**HI, "payload": {"x": "y" * 3_000_001}})
    assert answer.json() == {"errors": {"messages": [{"payload": ["Payload size exceeds tenant limit"]}]}}
    answer = await post(stack, "/room/events/hi", json={"x": "y" * 3_000_001})
    assert (answer.status_code, answer.json()) == (422, {"errors": {"payload": ["Payload size exceeds tenant limit"]}})
    assert (await post(stack, content=b"x" * 8_000_001)).status_code == 413


async def test_a_single_message_is_json_or_bytes(stack: Stack) -> None:
    old, new = await listener(stack, topic="a b"), await listener(stack, "2.0.0", topic="a b")
    assert (await post(stack, "/a%20b/events/h%C3%A9", json={"n": 1})).status_code == 202
    assert (await old.next())[2] == {"event": "hé", "payload": {"n": 1}, "type": "broadcast"}
    assert await new.raw() == b"\x04\x0c\x03\x00\x01realtime:a bh\xc3\xa9" + b'{"n":1}'
    how = {"content": b"\x00\xff", "headers": {"content-type": "application/octet-stream"}}
    assert (await post(stack, "/a%20b/events/x", **how)).status_code == 202
    assert await new.raw() == b"\x04\x0c\x01\x00\x00realtime:a bx\x00\xff"
    how = {"content": b"x", "headers": {"content-type": "text/plain"}}
    assert (await post(stack, "/a%20b/events/x", **how)).status_code == 415
    assert (await post(stack, "/a%20b/events/list", json=[1])).status_code == 202
    assert (await old.next())[2]["payload"] == {"_json": [1]}


async def test_a_single_private_message_is_refused_where_its_sender_may_not_write(house: Stack) -> None:
    inside = await listener(house, private=True)
    path = "/room/events/hi?private=true"
    answer = await post(house, path, json={}, token=house.token(may=[READ]))
    assert (answer.status_code, answer.json()) == (403, {"message": "Unauthorized"})
    assert (await post(house, path, json={}, token=house.token(may=[READ, WRITE]))).status_code == 202
    assert (await inside.next())[2] == {"event": "hi", "payload": {}, "type": "broadcast"}
    await house.sql("create policy broken on realtime.messages for insert with check (1 / (length(topic) - 4) > 0)")
    try:
        answer = await post(house, path, json={}, token=house.token(may=[READ]))
        assert (answer.status_code, answer.json()) == (422, {"message": "RLS policy error"})
    finally:
        await house.sql("drop policy broken on realtime.messages")
