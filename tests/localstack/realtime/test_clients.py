"""The clients people use, over a real socket: `realtime` and `supabase` for Python."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from realtime import AsyncRealtimeClient, RealtimeSubscribeStates
from supabase import acreate_client

from tests.localstack.realtime.conftest import ANN, BOB, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Diary:
    """What the callbacks of one channel were told."""

    def __init__(self) -> None:
        self.states: list[RealtimeSubscribeStates] = []
        self.system: list[Any] = []
        self.changes: list[Any] = []

    def note_state(self, state: RealtimeSubscribeStates, _error: Exception | None) -> None:
        self.states.append(state)

    async def ready(self, times: int = 1) -> None:
        """Until `Subscribed to PostgreSQL` has come so many times: only then are changes followed."""
        await wait_until(lambda: len([each for each in self.system if each.status == "ok"]) >= times)

    async def told(self, number: int) -> list[tuple[str, Any]]:
        """The first changes: kind, and the new or old row."""
        await wait_until(lambda: len(self.changes) >= number)
        found = [change["data"] for change in self.changes]
        return [(data["type"], data.get("record") or data.get("old_record")) for data in found]


@contextlib.asynccontextmanager
async def python_client(stack: Stack, token: str) -> AsyncIterator[AsyncRealtimeClient]:
    client = AsyncRealtimeClient(f"ws://127.0.0.1:{stack.port}/realtime/v1", token=stack.keys.anon_key)
    await client.connect()
    await client.set_auth(token)
    yield client
    await client.close()


async def listen(client: AsyncRealtimeClient, topic: str, **binding: Any) -> tuple[Any, Diary]:
    diary = Diary()
    channel = client.channel(topic)
    channel.on_system(diary.system.append)
    channel.on_postgres_changes("*", callback=diary.changes.append, schema="public", **binding)
    await channel.subscribe(diary.note_state)
    return channel, diary


async def test_the_python_client_sees_its_rows_come_change_and_go(stack: Stack) -> None:
    async with python_client(stack, stack.token(ANN)) as client:
        _, diary = await listen(client, "mine", table="tasks")
        await diary.ready()
        await stack.sql("insert into tasks (owner, title) values (%s, 'his'), (%s, 'hers')", BOB, ANN)
        await diary.told(1)
        await stack.sql("update tasks set done = true")
        await diary.told(2)
        await stack.sql("delete from tasks")
        told = await diary.told(4)
        assert [kind for kind, _ in told] == ["INSERT", "UPDATE", "DELETE", "DELETE"]
        assert (told[0][1]["title"], told[1][1]["done"]) == ("hers", True)
        assert diary.states == [RealtimeSubscribeStates.SUBSCRIBED]


async def test_the_python_client_filters_switches_tokens_and_leaves(stack: Stack) -> None:
    async with python_client(stack, stack.token(ANN)) as client:
        channel, diary = await listen(client, "one", table="tasks", filter="title=eq.wanted")
        await diary.ready()
        await stack.sql("insert into tasks (owner, title) values (%s, 'other'), (%s, 'wanted')", ANN, ANN)
        assert [row["title"] for _, row in await diary.told(1)] == ["wanted"]
        await client.set_auth(stack.token(BOB))
        await diary.ready(times=2)
        await stack.sql("insert into tasks (owner, title) values (%s, 'wanted'), (%s, 'wanted')", ANN, BOB)
        assert [row["owner"] for _, row in await diary.told(2)] == [ANN, BOB]
        await channel.unsubscribe()
        await wait_until(lambda: not list(stack.realtime._hub.listeners("public", "tasks", "INSERT")))


async def test_the_python_client_is_told_when_its_token_runs_out(stack: Stack) -> None:
    async with python_client(stack, stack.token(ANN, ttl_s=2)) as client:
        _, diary = await listen(client, "short", table="tasks")
        await diary.ready()
        await wait_until(lambda: RealtimeSubscribeStates.CLOSED in diary.states)
        assert client.is_connected


async def test_supabase_py_subscribes_through_the_stack(stack: Stack) -> None:
    client = await acreate_client(f"http://127.0.0.1:{stack.port}", stack.keys.anon_key)
    await client.realtime.set_auth(stack.token(ANN))
    diary = Diary()
    channel = client.channel("cron")
    channel.on_system(diary.system.append)
    for table in ("tasks", "memos"):
        channel.on_postgres_changes("*", schema="public", table=table, callback=diary.changes.append)
    await channel.subscribe(diary.note_state)
    await diary.ready()
    await stack.sql("insert into tasks (owner, title) values (%s, 'tea')", ANN)
    await stack.sql("insert into memos values (1, 'note')")
    assert [sorted(row) for _, row in await diary.told(2)] == [
        ["done", "extra", "id", "made_at", "owner", "price", "title"],
        ["body", "id"],
    ]
    await client.remove_all_channels()
    await client.realtime.close()


async def test_python_clients_broadcast_to_each_other(stack: Stack) -> None:
    heard: list[Any] = []
    async with python_client(stack, stack.token(ANN)) as ann, python_client(stack, stack.token(BOB)) as bob:
        listening = ann.channel("room").on_broadcast("hi", heard.append)
        await listening.subscribe()
        speaking = bob.channel("room")
        await speaking.subscribe()
        await wait_until(lambda: speaking.is_joined and listening.is_joined)
        await speaking.send_broadcast("hi", {"n": 1})
        async with asyncio.timeout(8):
            await wait_until(lambda: heard)
        assert heard[0]["payload"] == {"n": 1}
