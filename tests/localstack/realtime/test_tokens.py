"""Tokens of hosted Realtime's users: at the join, refreshed while joined, and running out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.localstack.realtime.conftest import ANN, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEMOS = {"event": "*", "schema": "public", "table": "memos"}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "InvalidJWTToken: Token has expired 5 seconds ago"),
        ("forged", "JwtSignatureError: Failed to validate JWT signature"),
        ("garbage", "MalformedJWT: The token provided is not a valid JWT"),
        ("roleless", "InvalidJWTToken: Fields `role` and `exp` are required in JWT"),
        ("postgres", "InvalidJWTToken: not implemented by the local stack: the role 'postgres'"),
    ],
)
async def test_a_join_with_a_bad_token_is_refused_with_the_reason(stack: Stack, kind: str, reason: str) -> None:
    client = await stack.client()
    reply = await client.join("realtime:j", MEMOS, token=bad_token(stack, kind))
    assert reply == {"status": "error", "response": {"reason": reason}}


def bad_token(stack: Stack, kind: str) -> str:
    return {
        "expired": stack.token(ttl_s=-5),
        "forged": stack.token()[:-8] + "AAAAAAAA",
        "garbage": "gar.ba.ge",
        "roleless": stack.keys.mint({"sub": ANN}, 60),
        "postgres": stack.token(role="postgres"),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("expired", "Token has expired 5 seconds ago"),
        ("forged", ":signature_error"),
        ("garbage", "The token provided is not a valid JWT"),
        ("roleless", "Fields `role` and `exp` are required in JWT"),
    ],
)
async def test_a_bad_new_token_closes_the_channel_but_not_the_connection(stack: Stack, kind: str, message: str) -> None:
    client = await stack.client("2.0.0")
    await client.subscribe("realtime:j", MEMOS, token=stack.token())
    await client.send("realtime:j", "access_token", {"access_token": bad_token(stack, kind)}, join_ref="1")
    said = {"message": message, "status": "error", "extension": "system", "channel": "j"}
    assert json.loads(await client.raw()) == ["1", None, "realtime:j", "system", said]
    assert json.loads(await client.raw()) == ["1", "1", "realtime:j", "phx_close", {}]
    await stack.sql("insert into memos values (1, 'unheard')")
    await client.send("phoenix", "heartbeat", {})
    assert (await client.next())[0] == "phoenix"


async def test_a_token_that_runs_out_closes_the_channel_but_not_the_connection(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:e", MEMOS, token=stack.token(ttl_s=2))
    assert await client.raw() == (
        '{"ref":null,"event":"system","topic":"realtime:e","payload":{"message":"Token has expired 0 seconds ago",'
        '"status":"error","extension":"system","channel":"e"}}'
    )
    assert await client.raw() == '{"ref":"1","event":"phx_close","topic":"realtime:e","payload":{}}'
    await client.send("phoenix", "heartbeat", {})
    assert (await client.next())[0] == "phoenix"


async def test_a_token_refreshed_in_time_keeps_the_channel(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:e", MEMOS, token=stack.token(ttl_s=2))
    await client.subscribe("realtime:other", MEMOS, token=stack.token(ttl_s=2))
    await client.send("realtime:e", "access_token", {"access_token": stack.token()}, join_ref="1")
    frames = [(await client.next())[:2] for _ in range(3)]
    assert frames == [("realtime:e", "system"), ("realtime:other", "system"), ("realtime:other", "phx_close")]
    await stack.sql("insert into memos values (1, 'still here')")
    assert (await client.change())["record"]["id"] == 1


@pytest.mark.parametrize("token", ["sb_publishable_x", None, 7, "same"])
async def test_pushed_keys_nulls_and_the_token_it_has_already_are_ignored(stack: Stack, token: Any) -> None:
    client = await stack.client()
    mine = stack.token()
    await client.subscribe("realtime:s", MEMOS, token=mine)
    await client.send("realtime:s", "access_token", {"access_token": mine if token == "same" else token}, join_ref="1")
    await client.send("phoenix", "heartbeat", {})
    assert (await client.next())[0] == "phoenix"
    await stack.sql("insert into memos values (1, 'still heard')")
    assert (await client.change())["record"]["id"] == 1
