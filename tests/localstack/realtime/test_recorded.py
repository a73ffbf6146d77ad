"""Frames recorded from the genuine Realtime, replayed: this one must say the same, in the same order, key by key.

Connections that are refused and the end of one that is silent for 66 s were recorded, too; test_protocol.py has those.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from agent.localstack.keys import Keys
from tests.localstack.realtime.conftest import Stack, stack_on, start_cluster
from tests.localstack.realtime.phoenix import Phoenix

HERE = Path(__file__).parent
ANN = "11111111-1111-4111-8111-111111111111"
BOB = "22222222-2222-4222-8222-222222222222"
BRIEF_S, EXPIRED_S = 2, -5
DIFFERENT = [
    (re.compile(r'"id":\d+,"event"'), '"id":{id},"event"'),
    (re.compile(r'"ids":\[\d+\]'), '"ids":[{id}]'),
    (re.compile(r'"commit_timestamp":"[^"]+"'), '"commit_timestamp":"{when}"'),
    (re.compile(r"expired \d+ seconds"), "expired {n} seconds"),
]
TOKEN = re.compile(r"\{[a-z ]+\}(?=\")")
FENCE = "insert into notes values (5, 'fence')"
"""What every channel on notes hears of: whatever should not have come would have come before it."""


def read() -> dict[str, list[tuple[str, str]]]:
    """Name and version → the steps."""
    found: dict[str, list[tuple[str, str]]] = {}
    steps: list[tuple[str, str]] = []
    for line in (HERE / "recorded.txt").read_text("utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "==":
            steps = found.setdefault(rest, [])
        elif mark not in ("", "#"):
            steps.append((mark, rest))
    return found


RECORDED = read()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorder(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack with the tables of the recording."""
    cluster = await start_cluster(tmp_path_factory.mktemp("recorded") / "pg")
    async with await psycopg.AsyncConnection.connect(cluster.dsn("house"), autocommit=True) as connection:
        await connection.execute((HERE / "recorded.sql").read_bytes())
    async with stack_on(cluster.dsn("house")) as stack:
        yield stack
    await cluster.stop()


def tokens(stack: Stack) -> dict[str, str]:
    return {
        "{ann}": stack.token(ANN),
        "{ann again}": stack.token(ANN, jti="another"),
        "{bob}": stack.token(BOB),
        "{brief}": stack.token(ANN, BRIEF_S),
        "{expired}": stack.token(ANN, EXPIRED_S),
        "{forged}": Keys.generate().mint({"role": "authenticated", "sub": ANN}, 3600),
    }


def same(frame: str) -> str:
    """Without what is different each time."""
    for what, instead in DIFFERENT:
        frame = what.sub(instead, frame)
    return frame


async def heard(client: Phoenix) -> tuple[str, str]:
    """The next frame, as the recording writes it."""
    frame = await client.raw()
    return ("<x", frame.hex()) if isinstance(frame, bytes) else ("<", same(frame))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", RECORDED)
async def test_what_the_genuine_server_said_is_said_here(recorder: Stack, name: str) -> None:
    await recorder.sql("truncate todos, notes, typed, secret restart identity")
    known = tokens(recorder)
    client = await recorder.client(name.split(" ")[1])
    for mark, what in RECORDED[name]:
        if mark == "$":
            await recorder.sql(what)
        elif mark == ">":
            await client.connection.send(TOKEN.sub(lambda place: known[place[0]], what))
        elif mark == ">x":
            await client.connection.send(bytes.fromhex(what))
        elif mark != ".":
            assert await heard(client) == (mark, what)
    await nothing_more(recorder, client, name)
    await client.connection.close()


async def nothing_more(stack: Stack, client: Phoenix, name: str) -> None:
    """Whatever came beside the recording comes before these."""
    if name.startswith("filter_eq"):
        await stack.sql(FENCE)
        assert '"fence"' in (await heard(client))[1]
    await client.send("phoenix", "heartbeat", {})
    frame = json.loads(await client.raw())
    event, topic = (frame[3], frame[2]) if isinstance(frame, list) else (frame["event"], frame["topic"])
    assert (event, topic) == ("phx_reply", "phoenix")


def test_the_recording_is_whole() -> None:
    assert len(RECORDED) == 28
    assert sum(mark.startswith("<") for steps in RECORDED.values() for mark, _ in steps) >= 100
