"""Frames and bodies that nobody means: no crash, no traceback, no hang, and never a row that is somebody else's."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.localstack.realtime import frames
from tests.localstack.realtime.conftest import BOB, Stack
from tests.localstack.realtime.phoenix import Phoenix, dial

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "only Bob may read this"
END = "the end of the fuzz"
THOROUGH = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.text(max_size=12) | st.sampled_from(
    ["", "*", "tasks", "public", "realtime", "ann", "\0", "'", '"', "x" * 300]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
operators = st.sampled_from(
    ["eq", "neq", "lt", "gte", "in", "like", "ilike", "is", "isdistinct", "match", "not.eq", "no"]
)
filters = texts | st.builds(
    "{}={}.{}".format, st.sampled_from(["id", "owner", "title", "price", "x"]), operators, texts | st.just("(1,2)")
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is expected, sometimes anything."""
    return strategy | values


bindings = st.fixed_dictionaries(
    {},
    optional={
        "event": maybe(st.sampled_from(["*", "INSERT", "update"])),
        "schema": maybe(st.sampled_from(["public", "*", "auth"])),
        "table": maybe(st.sampled_from(["tasks", "memos", "*", "vault"])),
        "filter": maybe(filters),
        "select": maybe(st.lists(st.sampled_from(["id", "title", "x"]))),
        "id": values,
    },
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "postgres_changes": maybe(st.lists(maybe(bindings), max_size=3)),
        "broadcast": maybe(st.fixed_dictionaries({}, optional={"ack": values, "self": values, "replay": values})),
        "presence": maybe(st.fixed_dictionaries({}, optional={"enabled": values, "key": values})),
        "private": maybe(st.booleans()),
    },
)
joins = st.fixed_dictionaries({"config": maybe(configs)}, optional={"access_token": st.just("TOKEN") | values})
payloads = (
    values | joins | st.fixed_dictionaries({"event": maybe(st.sampled_from(["track", "untrack"])), "payload": values})
)
topics = st.sampled_from(["realtime:x", "realtime:y", "realtime:", "phoenix"]) | texts
events = st.sampled_from(["phx_join", "phx_leave", "broadcast", "presence", "access_token", "heartbeat"]) | texts
refs = st.none() | st.sampled_from(["1", "2"]) | values
messages = st.tuples(refs, refs, topics, events, payloads).map(list)
pushes = st.builds(
    lambda sizes, tail: bytes((3, *sizes)) + tail,
    st.lists(st.integers(0, 12), min_size=6, max_size=6),
    st.binary(max_size=40) | st.just(b'11realtime:xhi{"x":1}'),
)
sent = st.lists(messages | pushes | st.binary(max_size=30) | st.text(max_size=30), max_size=8)


def written(message: Any, vsn: str, token: str) -> str | bytes:
    """As it goes over the wire."""
    if not isinstance(message, list):
        return message
    if vsn == "1.0.0":
        message = dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))
    return json.dumps(message).replace('"TOKEN"', json.dumps(token))


@given(frame=st.binary(max_size=60) | pushes | st.text(max_size=60) | messages.map(json.dumps))
@settings(max_examples=300, deadline=None)
async def test_any_frame_is_a_message_or_nothing(frame: str | bytes) -> None:
    for version in ("1.0.0", "2.0.0"):
        message = frames.decode(version, frame)  # type: ignore[arg-type]  # one of the two
        assert message is None or isinstance(message.topic, str)


@given(said=sent, vsn=st.sampled_from(["1.0.0", "2.0.0"]))
@THOROUGH
async def test_whatever_is_sent_the_connection_answers_and_shows_nothing_of_others(
    stack: Stack, caplog: pytest.LogCaptureFixture, said: list[Any], vsn: str
) -> None:
    caplog.set_level(logging.WARNING)
    with capture_logs() as logs:
        client = await dial(stack.url(vsn=vsn), vsn)
        for message in said:
            await client.connection.send(written(message, vsn, stack.token()))
        await stack.sql("insert into tasks (owner, title) values (%s, %s)", BOB, SECRET)
        heard = await _until_the_end(client, vsn)
        await client.connection.close()
    assert SECRET not in heard
    assert [each for each in logs if each["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def _until_the_end(client: Phoenix, vsn: str) -> str:
    """Everything up to the answer to a heartbeat."""
    beat: Any = [None, END, "phoenix", "heartbeat", {}]
    if vsn == "1.0.0":
        beat = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": END}
    await client.connection.send(json.dumps(beat))
    heard: list[str] = []
    while not heard or f'"{END}"' not in heard[-1]:
        frame = await client.raw()
        heard.append(frame if isinstance(frame, str) else frame.decode("latin-1"))
    return "".join(heard)


bodies = st.binary(max_size=60) | st.fixed_dictionaries({"messages": maybe(st.lists(maybe(st.dictionaries(
    st.sampled_from(["topic", "event", "payload", "private", "id"]), values | st.just("room")
)), max_size=3))}).map(lambda body: json.dumps(body).encode())  # fmt: skip


@given(
    body=bodies, topic=texts, event=texts, private=st.booleans(), kind=st.sampled_from(["application/json", "x", ""])
)
@THOROUGH
async def test_whatever_is_posted_is_accepted_or_refused(
    stack: Stack, body: bytes, topic: str, event: str, private: bool, kind: str
) -> None:
    base = f"http://127.0.0.1:{stack.port}/realtime/v1/api/broadcast"
    headers = {"apikey": stack.keys.publishable_key, "content-type": kind}
    names = [quote(each, safe="") for each in (topic, event)]
    async with httpx.AsyncClient() as client:
        single = f"{base}/{names[0]}/events/{names[1]}?private={str(private).lower()}"
        for address in (base, single):
            status = (await client.post(address, content=body, headers=headers)).status_code
            assert status in (202, 400, 403, 404, 405, 414, 415, 422, 501)
