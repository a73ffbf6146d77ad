"""Where changes come from: what happens around restarts of Postgres, late visibility, and readers that do not read."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from agent.errors import StackError
from agent.localstack.keys import Keys
from agent.localstack.realtime import Limits, Realtime
from tests.localstack.realtime.conftest import Stack, StackWith, stack_on, start_cluster
from tests.localstack.realtime.phoenix import Phoenix
from tests.support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEMOS = {"event": "*", "schema": "public", "table": "memos"}


async def slots(stack: Stack) -> int:
    cursor = await stack.database.execute(
        "select count(*) from pg_replication_slots where database = current_database()"
    )
    return (await cursor.fetchone())[0]


async def test_the_slot_is_temporary_and_gone_after_stop(own_stack: Stack) -> None:
    assert await wait_until(lambda: slots(own_stack)) == 1
    await own_stack.realtime.stop()
    await wait_until(lambda: _none(slots(own_stack)))
    await own_stack.realtime.stop()


async def _none(count: Any) -> bool:
    return await count == 0


async def test_a_lost_feed_comes_back_by_itself_and_no_frame_tells_of_it(own_stack: Stack) -> None:
    """As measured on the genuine server: what changed meanwhile is lost, and nobody says so."""
    client = await own_stack.client()
    await client.subscribe("realtime:m", MEMOS)
    cursor = await own_stack.database.execute(
        "select active_pid from pg_replication_slots where database = current_database()"
    )
    (walsender,) = await cursor.fetchone()
    await own_stack.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid()"
    )

    async def back() -> bool:
        cursor = await own_stack.database.execute(
            "select from pg_replication_slots where database = current_database() and active and active_pid <> %s",
            (walsender,),
        )
        return await cursor.fetchone() is not None

    await wait_until(back)
    await own_stack.sql("insert into memos values (1, 'after')")
    _topic, event, payload = await client.next()
    assert (event, payload["data"]["record"]["body"]) == ("postgres_changes", "after")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_subscribers_stay_joined_over_a_crash_of_postgres(tmp_path: Path) -> None:
    cluster = await start_cluster(tmp_path / "pg")
    try:
        async with stack_on(cluster.dsn("house")) as stack:
            client = await stack.client()
            await client.subscribe("realtime:m", MEMOS)
            first = cluster.pid
            assert first is not None
            os.kill(first, signal.SIGQUIT)
            await wait_until(lambda: cluster.pid not in (None, first), timeout=30)
            # Somebody who joins meanwhile waits and is then told.
            late = await stack.client()
            await late.subscribe("realtime:m", MEMOS)
            await stack.database.close()
            stack.database = await psycopg.AsyncConnection.connect(stack.dsn, autocommit=True)
            await stack.sql("insert into memos values (1, 'alive')")
            for listener in (client, late):
                assert (await listener.change())["record"]["body"] == "alive"
    finally:
        await cluster.stop()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_feed_that_has_something_to_deliver_when_postgres_stops_does_not_stay_deaf(tmp_path: Path) -> None:
    cluster = await start_cluster(tmp_path / "pg")
    try:
        async with stack_on(cluster.dsn("house")) as stack:
            client = await stack.client()
            await client.subscribe("realtime:m", MEMOS)
            writing = asyncio.create_task(_write(stack))
            await client.change()
            began = time.monotonic()
            await cluster.stop()  # waits until the feed has taken what it was sent
            with pytest.raises(psycopg.OperationalError):
                await writing
            await cluster.start()
            late = await stack.client()
            await late.subscribe("realtime:m", MEMOS)  # answered as soon as the feed is live
            assert time.monotonic() - began < 9
    finally:
        await cluster.stop()


async def test_a_change_that_is_decoded_before_it_is_visible_is_waited_for(own_stack: Stack) -> None:
    """A commit that waits for a standby is in the log and decoded, and not yet visible: its row is not gone."""
    client = await own_stack.client()
    await client.subscribe("realtime:m", MEMOS)
    await own_stack.sql("alter system set synchronous_standby_names = 'nobody'")
    await own_stack.sql("select pg_reload_conf()")
    async with await psycopg.AsyncConnection.connect(own_stack.dsn, autocommit=True) as other:
        await wait_until(lambda: _setting(other, "synchronous_standby_names", "nobody"))
        stuck = asyncio.create_task(other.execute("insert into memos values (1, 'late')"))
        try:
            await wait_until(lambda: _asking(own_stack))
        finally:
            await own_stack.sql("alter system reset synchronous_standby_names")
            await own_stack.sql("select pg_reload_conf()")
            await stuck
    assert (await client.change())["record"]["body"] == "late"


async def _write(stack: Stack) -> None:
    for number in itertools.count():
        await stack.sql("insert into memos values (%s, 'x'), (%s, 'y')", 2 * number, 2 * number + 1)
        await stack.sql("insert into ledger (id) values (%s)", number)


async def _setting(connection: psycopg.AsyncConnection[Any], name: str, value: str) -> bool:
    cursor = await connection.execute("select current_setting(%s)", (name,))
    return await cursor.fetchone() == (value,)


async def _asking(stack: Stack) -> bool:
    """The fan-out has begun to ask about the change."""
    cursor = await stack.database.execute(
        "select from pg_stat_activity where datname = current_database() and state = 'active'"
        " and query like '%fan_out%' and pid <> pg_backend_pid()"
    )
    return await cursor.fetchone() is not None


async def test_a_reader_that_does_not_read_is_cut_off_and_the_others_are_served(
    stack_with: StackWith,
) -> None:
    async with stack_with(Limits(queued_bytes=1_000_000)) as stack:
        lazy = await stack.client(max_queue=1, compression=None)
        await lazy.subscribe("realtime:m", MEMOS)
        busy = await stack.client(max_size=None)
        await busy.subscribe("realtime:m", MEMOS)
        for number in range(40):
            await stack.sql("insert into memos values (%s, repeat('x', 400000))", number)
            assert (await busy.change())["record"]["id"] == number
        assert await wait_until(lambda: len(stack.realtime._sessions) == 1)
        with pytest.raises(ConnectionClosed):
            await _drained(lazy)


async def _drained(client: Phoenix) -> None:
    async with asyncio.timeout(10):
        while True:
            await client.connection.recv()


async def test_a_change_of_a_table_that_is_gone_does_not_stop_the_feed(own_stack: Stack) -> None:
    client = await own_stack.client()
    await client.subscribe("realtime:all", {"event": "*", "schema": "public"}, token=own_stack.token())
    async with own_stack.database.transaction():
        await own_stack.sql("insert into ledger values (1, 1, 'x')")
        await own_stack.sql("drop table ledger")
    async with own_stack.database.transaction():
        await own_stack.sql("insert into shapes (id, feeling) values (gen_random_uuid(), 'calm')")
        await own_stack.sql("alter table shapes drop column feeling")
        await own_stack.sql("drop type mood")
    await own_stack.sql("insert into memos values (1, 'next')")
    assert (await client.change())["table"] == "memos"


async def test_a_change_that_cannot_be_told_does_not_take_its_neighbours_with_it(own_stack: Stack) -> None:
    """The first row's value has another name by the time it is told."""
    client = await own_stack.client()
    await client.subscribe("realtime:s", {**MEMOS, "table": "shapes"}, token=own_stack.token())
    async with own_stack.database.transaction():
        await own_stack.sql("insert into shapes (id, feeling) values (gen_random_uuid(), 'calm')")
        await own_stack.sql("alter type mood rename value 'calm' to 'serene'")
        await own_stack.sql("insert into shapes (id, feeling) values (gen_random_uuid(), 'serene')")
    assert (await client.change())["record"]["feeling"] == "serene"


async def test_a_change_is_told_at_once(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", MEMOS)
    started = time.monotonic()
    for number in range(5):
        await stack.sql("insert into memos values (%s, 'x')", number)
        await client.change()
    assert time.monotonic() - started < 2.5


async def test_a_database_that_cannot_be_reached_is_a_clear_error(stack: Stack) -> None:
    realtime = Realtime(dsn=stack.dsn.replace("/house", "/nowhere"), keys=Keys.generate())
    with pytest.raises(StackError, match="the Realtime server cannot use Postgres"):
        await realtime.start()


async def test_a_database_without_the_publication_gets_it(own_stack: Stack) -> None:
    await own_stack.sql("drop publication supabase_realtime")
    again = Realtime(dsn=own_stack.dsn, keys=own_stack.keys)
    await again.start()
    await again.stop()
    cursor = await own_stack.database.execute("select count(*) from pg_publication where pubname = 'supabase_realtime'")
    assert await cursor.fetchone() == (1,)
