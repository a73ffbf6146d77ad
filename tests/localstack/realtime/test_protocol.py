"""Phoenix channels as hosted Realtime speaks them: connecting, joining, leaving, broadcasts, and nonsense."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.localstack.realtime import Limits
from tests.localstack.realtime.conftest import ANN, Stack, StackWith
from tests.localstack.realtime.phoenix import Phoenix, dial

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNABLE = "Unable to subscribe to changes with given parameters"
MEMOS = {"event": "*", "schema": "public", "table": "memos"}


async def closed(client: Phoenix) -> int:
    """The code the server closed with."""
    async with asyncio.timeout(8):
        while True:
            try:
                await client.connection.recv()
            except ConnectionClosed as end:
                return end.rcvd.code if end.rcvd else 1006


# ── connecting ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "status", "body"),
    [
        ("", 401, '{"error":"API key is missing"}'),
        ("nonsense", 401, '{"error":"The token provided is not a valid JWT"}'),
        ("expired", 401, '{"error":"Token has expired"}'),
        ("forged", 401, '{"error":"Failed to validate JWT signature"}'),
    ],
)
async def test_a_connection_without_a_good_key_is_refused_with_the_reason(
    stack: Stack, key: str, status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = {"expired": stack.token(ttl_s=-5), "forged": stack.token()[:-8] + "AAAAAAAA"}
    with pytest.raises(InvalidStatus) as refused:
        await dial(stack.url(made.get(key, key)))
    response = refused.value.response
    assert (response.status_code, (response.body or b"").decode()) == (status, body)
    assert "ASGI callable" not in caplog.text


async def test_an_unknown_protocol_version_is_forbidden(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await dial(stack.url(vsn="9.0.0"))
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"")


async def test_any_valid_token_opens_a_connection_and_its_rights_count(stack: Stack) -> None:
    client = await dial(stack.url(stack.token(ANN)))
    stack.open.append(client)
    await client.subscribe("realtime:t", {**MEMOS, "table": "tasks"})
    await stack.sql("insert into tasks (owner, title) values (%s, 'mine')", ANN)
    assert (await client.change())["record"]["title"] == "mine"


# ── joining and leaving ───────────────────────────────────────────────────────


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_heartbeat_join_and_leave_are_answered_in_the_genuine_frames(stack: Stack, vsn: str) -> None:
    client = await stack.client(vsn)
    await client.send("phoenix", "heartbeat", {})
    config = {"postgres_changes": [{**MEMOS, "filter": "id=eq.5"}], "presence": {"enabled": False}}
    await client.send("realtime:m", "phx_join", {"config": config, "access_token": stack.token()})
    await client.send("realtime:m", "phx_leave", {}, join_ref="2")
    await client.send("phoenix", "heartbeat", {})
    frames = [str(await client.raw()) for _ in range(5)]
    number = frames[1].split('"id":')[1].split(",")[0]
    binding = f'{{"id":{number},"event":"*","filter":"id=eq.5","schema":"public","table":"memos"}}'
    joined = f'{{"status":"ok","response":{{"postgres_changes":[{binding}]}}}}'
    empty = '{"status":"ok","response":{}}'
    assert (
        frames
        == {
            "1.0.0": [
                f'{{"ref":"1","event":"phx_reply","topic":"phoenix","payload":{empty}}}',
                f'{{"ref":"2","event":"phx_reply","topic":"realtime:m","payload":{joined}}}',
                f'{{"ref":"3","event":"phx_reply","topic":"realtime:m","payload":{empty}}}',
                '{"ref":"2","event":"phx_close","topic":"realtime:m","payload":{}}',
                f'{{"ref":"4","event":"phx_reply","topic":"phoenix","payload":{empty}}}',
            ],
            "2.0.0": [
                f'[null,"1","phoenix","phx_reply",{empty}]',
                f'["2","2","realtime:m","phx_reply",{joined}]',
                f'["2","3","realtime:m","phx_reply",{empty}]',
                '["2","2","realtime:m","phx_close",{}]',
                f'[null,"4","phoenix","phx_reply",{empty}]',
            ],
        }[vsn]
    )
    assert int(number) > 0


async def test_binding_ids_are_the_same_on_every_connection_and_differ_between_bindings(stack: Stack) -> None:
    ids = []
    for _ in range(2):
        client = await stack.client()
        reply = await client.join("realtime:m", MEMOS, {**MEMOS, "event": "INSERT"})
        ids.append([binding["id"] for binding in reply["response"]["postgres_changes"]])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


async def test_after_leaving_nothing_more_arrives(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:gone", MEMOS)
    await client.subscribe("realtime:here", MEMOS)
    await client.send("realtime:gone", "phx_leave", {}, join_ref="1")
    assert [(await client.next())[1] for _ in range(2)] == ["phx_reply", "phx_close"]
    await stack.sql("insert into memos values (1, 'a')")
    await stack.sql("insert into memos values (2, 'b')")
    assert [(await client.next())[0] for _ in range(2)] == ["realtime:here"] * 2


async def test_a_second_join_of_a_topic_replaces_the_first_which_is_closed_after_the_reply(stack: Stack) -> None:
    client = await stack.client("2.0.0")
    await client.subscribe("realtime:m", MEMOS)
    await client.send("realtime:m", "phx_join", {"config": {"postgres_changes": [MEMOS], "presence": {}}})
    frames = [json.loads(await client.raw()) for _ in range(3)]
    assert [(frame[0], frame[3]) for frame in frames] == [("2", "phx_reply"), ("1", "phx_close"), ("2", "system")]
    await client.send("realtime:m", "phx_leave", {}, join_ref="1")  # a late word of the old join is not heeded
    await stack.sql("insert into memos values (1, 'once')")
    await stack.sql("insert into memos values (2, 'twice')")
    assert [(await client.change())["record"]["id"] for _ in range(2)] == [1, 2]


async def test_messages_to_a_topic_that_was_not_joined(stack: Stack) -> None:
    client = await stack.client("2.0.0")
    await client.send("realtime:x", "broadcast", {}, join_ref="9")
    await client.send("realtime:x", "phx_leave", {}, join_ref="9")
    await client.send("room:x", "phx_join", {})
    unmatched = {"status": "error", "response": {"reason": "unmatched topic"}}
    assert json.loads(await client.raw()) == [None, "1", "realtime:x", "phx_reply", unmatched]
    assert json.loads(await client.raw()) == ["9", "2", "realtime:x", "phx_reply", {"status": "ok", "response": {}}]
    assert json.loads(await client.raw()) == [None, "3", "room:x", "phx_reply", unmatched]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, "not implemented by the local stack: joining without a config"),
        (
            {"config": {"broadcast": {"replay": {}}}},
            "UnableToReplayMessages: Replay is not allowed for public channels",
        ),
        (
            {"config": {"private": True, "broadcast": {"replay": {"since": "x"}}}},
            "UnableToReplayMessages: Replay params are not valid",
        ),
        ({"config": {"postgres_changes": ["memos"]}}, "postgres_changes must be at most 100 objects"),
        ({"config": {"postgres_changes": [{}] * 101}}, "postgres_changes must be at most 100 objects"),
    ],
)
async def test_a_join_that_cannot_be_served_says_why(stack: Stack, payload: Any, reason: str) -> None:
    client = await stack.client()
    await client.send("realtime:r", "phx_join", payload)
    assert (await client.next())[2] == {"status": "error", "response": {"reason": reason}}


async def test_a_topic_needs_a_name(stack: Stack) -> None:
    client = await stack.client()
    reply = await client.join("realtime:")
    assert reply["response"]["reason"] == "TopicNameRequired: You must provide a topic name"


async def test_an_event_that_nobody_knows_is_passed_over(stack: Stack) -> None:
    client = await stack.client()
    await client.join("realtime:p")
    await client.send("realtime:p", "dance", {}, join_ref="1")
    await client.send("phoenix", "heartbeat", {})
    assert (await client.next())[0] == "phoenix"


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_frames_that_make_no_sense_are_ignored(stack: Stack, vsn: str) -> None:
    client = await stack.client(vsn)
    nonsense: list[str | bytes] = [
        "", "{", "null", "[]", "{}", '"x"', "[1,2,3,4,5]", '{"topic":1,"event":2,"payload":{},"ref":"x"}',
        '[null,"x","phoenix","heartbeat","no object"]', '{"topic":"phoenix","event":"heartbeat","ref":"x"}',
        '[null,{},"phoenix","heartbeat",{}]', '[null,"x","phoenix","heartbeat",{"x":NaN}]', "[" * 100_000,
        '[null,"x","\\ud800","phx_leave",{}]', '{"topic":"\\ud800","event":"phx_leave","payload":{},"ref":"x"}',
        '[null,"x","phoenix","heartbeat",{"x":1e999}]', b"", b"\x00", b"\x03\xff\xff\xff\xff\xff\xff", b"\xff" * 50,
        b"\x03\x00\x01\x01\x01\x00\x011tx{", b"\x03\x00\x01\x01\x01\x00\x00\xfftx{}",
    ]  # fmt: skip
    for frame in nonsense:
        await client.connection.send(frame)
    await client.send("phoenix", "heartbeat", {})
    answer = json.loads(await client.raw())
    assert (answer["ref"] if vsn == "1.0.0" else answer[1]) == "1"


# ── what cannot be subscribed ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            {"event": "*", "schema": "public", "table": "unpublished"},
            (
                f"{UNABLE}. Please check Realtime is enabled for the given "
                "connect parameters: [event: *, schema: public, table: unpublished, filters: [], select: nil]"
            ),
        ),
        (
            {"event": "insert", "schema": "public", "table": "ledger", "filter": "secret=eq.x"},
            (
                f"{UNABLE}. An exception happened so please check your connect "
                'parameters: [event: INSERT, schema: public, table: ledger, filters: [{"secret", "eq", "x", false}], '
                "select: nil]. Exception: ERROR P0001 (raise_exception) invalid column for filter secret"
            ),
        ),
        (
            {"event": "*", "schema": "public", "table": "memos", "filter": "id=eq.abc"},
            (
                f"{UNABLE}. An exception happened so please check your connect "
                'parameters: [event: *, schema: public, table: memos, filters: [{"id", "eq", "abc", false}], '
                "select: nil]. Exception: ERROR 22P02 (invalid_text_representation) "
                'invalid input syntax for type integer: "abc"'
            ),
        ),
        (
            {"schema": "public", "table": "memos", "filter": "id=foo.1"},
            'Error parsing `filter` params: ["foo", "1"]',
        ),
        (
            {"event": "*"},
            (
                "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
                '%{"event" => "*"}'
            ),
        ),
    ],
)
async def test_a_binding_that_cannot_work_joins_and_is_then_told_so(stack: Stack, binding: Any, message: str) -> None:
    client = await stack.client()
    assert (await client.join("realtime:b", binding, token=stack.token()))["status"] == "ok"
    assert json.loads(await client.raw()) == {
        "ref": None,
        "event": "system",
        "topic": "realtime:b",
        "payload": {"message": message, "status": "error", "extension": "postgres_changes", "channel": "b"},
    }


@pytest.mark.parametrize(
    ("condition", "complaint"),
    [
        ("raw_json=eq.{}", "operator eq is not supported on column raw_json of type json"),
        ("plain=like.1%", "operator like is not supported on column plain of type integer"),
        ("plain=is.true", "is true filter requires a boolean column, got integer"),
        ("plain=match.1", "operator match is not supported on column plain of type integer"),
        ("words=imatch.(", "invalid regular expression for imatch filter: invalid regular expression: parentheses"),
        ("flag=is.maybe", "invalid value for is filter: must be null, true, false, or unknown"),
        ("plain=in.(" + ",".join("1" * 101) + ")", "too many values for `in` filter. Maximum 100"),
        ("nothing=eq.1", "invalid column for filter nothing"),
        ("words=eq.\x00", "unsupported Unicode escape sequence"),
    ],
)
async def test_a_filter_that_does_not_fit_its_column_is_refused(stack: Stack, condition: str, complaint: str) -> None:
    client = await stack.client()
    await client.join("realtime:b", {**MEMOS, "table": "shapes", "filter": condition}, token=stack.token())
    payload = (await client.next())[2]
    assert payload["status"] == "error"
    assert complaint in payload["message"]


async def test_columns_that_may_not_be_read_cannot_be_selected(stack: Stack) -> None:
    client = await stack.client()
    await client.join("realtime:b", {**MEMOS, "table": "ledger", "select": ["secret"]}, token=stack.token())
    assert "invalid column for select secret" in (await client.next())[2]["message"]


# ── broadcast ─────────────────────────────────────────────────────────────────


async def test_a_broadcast_reaches_everybody_on_the_topic_and_the_sender_only_on_request(stack: Stack) -> None:
    loud, quiet, elsewhere = await stack.client(), await stack.client("2.0.0"), await stack.client()
    await loud.join("realtime:b", broadcast={"self": True, "ack": True})
    await quiet.join("realtime:b", broadcast={})
    await elsewhere.join("realtime:c")
    said = {"type": "broadcast", "event": "hi", "payload": {"z": 1, "a": "é"}}
    written = '{"event":"hi","payload":{"a":"é","z":1},"type":"broadcast"}'
    await loud.send("realtime:b", "broadcast", said, join_ref="1")
    assert await loud.raw() == f'{{"ref":null,"event":"broadcast","topic":"realtime:b","payload":{written}}}'
    assert await loud.raw() == (
        '{"ref":"2","event":"phx_reply","topic":"realtime:b","payload":{"status":"ok","response":{}}}'
    )
    assert await quiet.raw() == f'[null,null,"realtime:b","broadcast",{written}]'
    await quiet.send("realtime:b", "broadcast", said, join_ref="1")
    assert (await loud.next())[1] == "broadcast"
    for client in (quiet, elsewhere):
        await client.send("phoenix", "heartbeat", {})
        assert (await client.next())[0] == "phoenix"


async def test_binary_broadcasts_are_passed_on_untouched(stack: Stack) -> None:
    new, old = await stack.client("2.0.0"), await stack.client("1.0.0")
    await new.join("realtime:b", broadcast={"self": True, "ack": True})
    await old.join("realtime:b")
    for encoding, payload in ((b"\x01", b'{"x":2}'), (b"\x00", b"\x00\xff")):
        await new.connection.send(b"\x03\x01\x02\x0a\x02\x00" + encoding + b"142realtime:bhi" + payload)
        assert await new.raw() == b"\x04\x0a\x02\x00" + encoding + b"realtime:bhi" + payload
        assert await new.raw() == '["1","42","realtime:b","phx_reply",{"status":"ok","response":{}}]'
    # Version 1 can show the JSON one only.
    assert (await old.next())[2] == {"event": "hi", "payload": {"x": 2}, "type": "broadcast"}
    await old.send("phoenix", "heartbeat", {})
    assert (await old.next())[0] == "phoenix"


# ── limits ────────────────────────────────────────────────────────────────────


async def test_silence_closes_the_connection_and_a_heartbeat_keeps_it(stack_with: StackWith) -> None:
    async with stack_with(Limits(silence_s=0.4)) as stack:
        silent, alive = await stack.client(), await stack.client()

        async def beat() -> None:
            while True:
                await alive.send("phoenix", "heartbeat", {})
                await alive.next()

        beating = asyncio.create_task(beat())
        assert await closed(silent) == 1000
        assert not beating.done()
        beating.cancel()


async def test_a_connection_has_at_most_so_many_channels(stack_with: StackWith) -> None:
    async with stack_with(Limits(channels=2)) as stack:
        client = await stack.client()
        replies = [await client.join(f"realtime:{number}") for number in range(3)]
        assert [reply["status"] for reply in replies] == ["ok", "ok", "error"]
        assert replies[2]["response"]["reason"] == "ChannelRateLimitReached: Too many channels"
        await client.send("realtime:0", "phx_join", {"config": {}})  # a rejoin takes no further place
        assert (await client.next())[2]["status"] == "ok"


async def test_an_oversized_frame_closes_the_connection(stack_with: StackWith) -> None:
    async with stack_with(Limits(frame_bytes=1000)) as stack:
        client = await stack.client()
        await client.connection.send("x" * 1001)
        assert await closed(client) == 1009


async def test_stopping_the_server_closes_connections_with_1012(own_stack: Stack) -> None:
    client = await own_stack.client()
    await client.subscribe("realtime:m", MEMOS)
    await own_stack.realtime.stop()
    assert await closed(client) == 1012
