"""Broadcasts that are written in SQL, heard as they commit, and asked for again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.localstack.realtime.conftest import Stack
from tests.localstack.realtime.phoenix import Phoenix

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def house(stack: Stack) -> AsyncIterator[Stack]:
    """The shared stack, its broadcasts open to everybody who signed in."""
    await stack.sql("create policy hear on realtime.messages for select to authenticated using (true)")
    yield stack
    await stack.sql("drop policy hear on realtime.messages")
    await stack.sql("truncate realtime.messages")


async def enter(stack: Stack, vsn: str = "1.0.0", *, private: bool = True, **broadcast: Any) -> Phoenix:
    client = await stack.client(vsn)
    reply = await client.join("realtime:room", token=stack.token(), private=private, broadcast=broadcast)
    assert reply["status"] == "ok", reply
    return client


async def test_send_reaches_the_private_topic_with_the_id_of_its_row(house: Stack) -> None:
    private, public = await enter(house, "2.0.0"), await enter(house, private=False)
    await house.sql("select realtime.send('{\"n\": 1}', 'hi', 'room')")
    row = await (await house.database.execute("select id::text from realtime.messages")).fetchone()
    assert row is not None
    assert await private.raw() == (
        f'[null,null,"realtime:room","broadcast",{{"event":"hi","meta":{{"id":"{row[0]}"}},'
        f'"payload":{{"n": 1, "id": "{row[0]}"}},"type":"broadcast"}}]'
    )
    await house.sql("select realtime.send('{\"id\": 5}', 'hi', 'room', false)")
    assert (await public.next())[2]["payload"] == {"id": 5}


async def test_nothing_is_told_of_a_transaction_that_was_undone(house: Stack) -> None:
    client = await enter(house)
    async with house.database.transaction(force_rollback=True):
        await house.sql("select realtime.send('{}', 'undone', 'room')")
    await house.sql("select realtime.send('{}', 'kept', 'room')")
    assert (await client.next())[2]["event"] == "kept"


async def test_bytes_are_heard_by_version_two_only(house: Stack) -> None:
    new, old = await enter(house, "2.0.0"), await enter(house)
    await house.sql("select realtime.send_binary('\\x00ff', 'hi', 'room')")
    frame = await new.raw()
    assert isinstance(frame, bytes)
    meta = frame[3]
    assert frame[:5] == bytes((4, 13, 2, meta, 0))
    assert frame[5:20] == b"realtime:roomhi"
    assert frame[20 + meta :] == b"\x00\xff"
    await house.sql("select realtime.send('{}', 'text', 'room')")
    assert (await old.next())[2]["event"] == "text"


async def test_a_trigger_tells_what_happened_to_a_row(house: Stack) -> None:
    client = await enter(house)
    await house.sql(
        "create function tell() returns trigger language plpgsql as $$ begin"
        " perform realtime.broadcast_changes('room', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);"
        " return null; end $$"
    )
    await house.sql(
        "create trigger tell after insert or update or delete on memos for each row execute function tell()"
    )
    try:
        await house.sql("insert into memos values (1, 'a')")
        await house.sql("delete from memos")
    finally:
        await house.sql("drop function tell() cascade")
    made, gone = [(await client.next())[2] for _ in range(2)]
    assert (made["event"], gone["event"]) == ("INSERT", "DELETE")
    row = {"id": 1, "body": "a"}
    of_it = {"operation": "INSERT", "schema": "public", "table": "memos", "record": row, "old_record": None}
    assert {**made["payload"], "id": None} == {**of_it, "id": None}
    assert (gone["payload"]["record"], gone["payload"]["old_record"]) == (None, row)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("'x', 'x', 'TRUNCATE', 't', 's', null::memos, null::memos", "Unexpected operation type: TRUNCATE"),
        ("'x', 'x', 'INSERT', 't', 's', null::memos, null::memos, 'STATEMENT'", "for each row, not for each statement"),
    ],
)
async def test_what_is_no_change_of_a_row_is_an_error(stack: Stack, query: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        await stack.sql(f"select realtime.broadcast_changes({query})")


async def test_who_may_not_write_sends_nothing_and_fails_nothing(house: Stack) -> None:
    client = await enter(house)
    async with house.database.transaction():
        await house.sql("set local role authenticated")
        await house.sql("select realtime.send('{}', 'forbidden', 'room')")
    await house.sql("select realtime.send('{}', 'allowed', 'room')")
    assert (await client.next())[2]["event"] == "allowed"


async def test_rows_that_are_no_messages_are_passed_over(house: Stack) -> None:
    client = await enter(house)
    await house.sql("insert into realtime.messages (topic, extension, private) values ('room', 'broadcast', true)")
    await house.sql("insert into realtime.messages (topic, extension, event) values ('room', 'b', 'e')")
    long = "x" * 300  # no binary frame can name it
    await house.sql("select realtime.send_binary('\\x00', %s, 'room')", long)
    await house.sql("select realtime.send('{}', 'last', 'room')")
    assert (await client.next())[2]["event"] == "last"


async def test_broadcasts_of_before_are_told_again_the_oldest_first(house: Stack) -> None:
    witness = await enter(house)
    for number in range(3):
        await house.sql("select realtime.send(jsonb_build_object('n', %s::int), 'hi', 'room')", number)
        await witness.next()  # else it might still be on its way to who joins next
    await house.sql("select realtime.send('{}', 'elsewhere', 'other')")
    await house.sql("select realtime.send('{}', 'public', 'room', false)")
    client = await enter(house, replay={"since": int((time.time() - 60) * 1000), "limit": 2})
    told = [(await client.next())[2] for _ in range(2)]
    assert [each["payload"]["n"] for each in told] == [1, 2]
    assert [each["meta"]["replayed"] for each in told] == [True, True]
    assert told[0]["meta"]["id"] == told[0]["payload"]["id"]
    await house.sql("select realtime.send('{}', 'new', 'room')")
    fresh = (await client.next())[2]
    assert (fresh["event"], list(fresh["meta"])) == ("new", ["id"])


async def test_bytes_of_before_are_told_again_to_version_two(house: Stack) -> None:
    await house.sql("select realtime.send_binary('\\x0001', 'hi', 'room')")
    new = await enter(house, "2.0.0", replay={})
    frame = await new.raw()
    assert isinstance(frame, bytes)
    assert b'"replayed":true' in frame
    assert frame.endswith(b"\x00\x01")


async def test_nothing_from_after_since_is_told_again(house: Stack) -> None:
    await house.sql("select realtime.send('{}', 'old', 'room')")
    client = await enter(house, replay={"since": int((time.time() + 60) * 1000)})
    await house.sql("select realtime.send('{}', 'new', 'room')")
    assert (await client.next())[2]["event"] == "new"


async def test_what_is_older_than_three_days_is_forgotten(own_stack: Stack) -> None:
    await own_stack.sql("select realtime.send('{}', 'old', 'room')")
    await own_stack.sql("update realtime.messages set inserted_at = now() - interval '73 hours'")
    await own_stack.sql("select realtime.send('{}', 'new', 'room')")
    await own_stack.realtime._database.prune()
    cursor = await own_stack.database.execute("select event from realtime.messages")
    assert await cursor.fetchall() == [("new",)]
