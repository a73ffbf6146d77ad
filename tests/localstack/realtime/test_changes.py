"""What a subscriber is told about rows: the frames of hosted Realtime (v2.122, observed), byte for byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.localstack.realtime.conftest import ANN, BOB, Stack
from tests.localstack.realtime.phoenix import Phoenix

TASK_COLUMNS = json.dumps(
    [
        {"name": name, "type": kind}
        for name, kind in {
            "id": "int8",
            "owner": "uuid",
            "title": "text",
            "price": "numeric",
            "extra": "jsonb",
            "done": "bool",
            "made_at": "timestamptz",
        }.items()
    ]
)

pytestmark = pytest.mark.asyncio(loop_scope="session")
MEMO_COLUMNS = [{"name": "id", "type": "int4"}, {"name": "body", "type": "text"}]


def on(table: str, event: str = "*", **more: Any) -> dict[str, Any]:
    return {"event": event, "schema": "public", "table": table, **more}


async def told(stack: Stack, client: Phoenix, statement: str) -> Any:
    """What the client is told about one statement."""
    await stack.sql(statement)
    return await client.change()


async def insert_task(stack: Stack, owner: str, title: str) -> None:
    await stack.sql("insert into tasks (owner, title) values (%s, %s)", owner, title)


REST = f'"columns":{TASK_COLUMNS},"errors":null,"schema":"public","commit_timestamp":"T"'
FIELDS = f'"extra": {{"a": [1, null]}}, "owner": "{ANN}", "price": 2.50'
MADE = '"made_at": "2026-05-04T03:02:01+00:00"'
GENUINE = {
    "insert into tasks (owner, title, price, extra) values (%s, 'tea', 2.50, '{\"a\":[1,null]}')": (
        f'{{"table":"tasks","type":"INSERT","record":{{"id": 1, "done": false, {FIELDS}, "title": "tea", {MADE}}},'
        f"{REST}}}"
    ),
    "update tasks set done = true, title = null where owner = %s": (
        f'{{"table":"tasks","type":"UPDATE","record":{{"id": 1, "done": true, {FIELDS}, "title": null, {MADE}}},{REST},'
        '"old_record":{"id": 1}}'
    ),
    "delete from tasks where owner = %s": f'{{"table":"tasks","type":"DELETE",{REST},"old_record":{{"id": 1}}}}',
}
INSTANT = re.compile(r'(?<="commit_timestamp":)"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_insert_update_and_delete_come_in_the_genuine_frames(stack: Stack, vsn: str) -> None:
    client = await stack.client(vsn)
    reply = await client.subscribe("realtime:list", on("tasks"), token=stack.token())
    (binding,) = reply["response"]["postgres_changes"]
    for statement, data in GENUINE.items():
        await stack.sql(statement, ANN)
        frame = INSTANT.sub('"T"', str(await client.raw()))
        payload = f'{{"data":{data},"ids":[{binding["id"]}]}}'
        assert (
            frame
            == {
                "1.0.0": f'{{"ref":null,"event":"postgres_changes","topic":"realtime:list","payload":{payload}}}',
                "2.0.0": f'[null,null,"realtime:list","postgres_changes",{payload}]',
            }[vsn]
        )


async def test_every_type_is_written_as_the_genuine_server_writes_it(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:s", on("shapes"), token=stack.token())
    await stack.sql(
        """insert into shapes values (
            '00000000-0000-4000-8000-000000000007', -1, 2, 9007199254740993, 0.1, 'NaN',
            12345678901234567890.120, true, E'ü"\\\\\\n', 'abc', 'xy', '2026-02-03', '04:05:06.7',
            '2026-02-03 04:05:06.7', '2026-02-03 04:05:06.7+02', '1 mon 2 days 03:04', '{"b":1.0,"a":[]}',
            '{"b":1.0,"a":[]}', '{1,NULL}', '{x,"y z"}', '\\x00ff', '[1,5)', 'cross')"""
    )
    record = re.search(r'"record":(\{.*?\}),"columns"', str(await client.raw()))
    assert record is not None
    assert record[1] == (
        '{"at": "2026-02-03T02:05:06.7+00:00", "id": "00000000-0000-4000-8000-000000000007", "big": 9007199254740993,'
        ' "day": "2026-02-03", "flag": true, "json": {"a": [], "b": 1.0}, "span": "1 mon 2 days 03:04:00",'
        ' "bytes": "00ff", "clock": "04:05:06.7", "exact": 12345678901234567890.120, "names": ["x", "y z"],'
        ' "plain": 2, "range": "[1,5)", "small": -1, "words": "ü\\"\\\\\\n", "double": null, "padded": "xy ",'
        ' "single": 0.1, "varied": "abc", "feeling": "cross", "numbers": [1, null],'
        ' "local_at": "2026-02-03T04:05:06.7", "raw_json": {"a": [], "b": 1.0}}'
    )


async def test_a_row_of_somebody_else_is_never_told_but_its_deletion_is(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:t", on("tasks"), token=stack.token(ANN))
    await insert_task(stack, BOB, "his")
    await stack.sql("update tasks set title = 'still his'")
    await stack.sql("delete from tasks")
    await insert_task(stack, ANN, "hers")
    deleted, inserted = await client.change(), await client.change()
    assert (deleted["type"], deleted["old_record"]) == ("DELETE", {"id": 1})
    assert (inserted["type"], inserted["record"]["title"]) == ("INSERT", "hers")


async def test_without_a_token_the_rights_are_those_of_the_api_key(stack: Stack) -> None:
    anon = await stack.client()
    await anon.subscribe("realtime:t", on("tasks"), on("memos"))
    everything = await stack.client()
    await everything.subscribe("realtime:t", on("tasks"), token=stack.keys.service_key)
    await insert_task(stack, BOB, "private")
    await stack.sql("insert into memos values (1, 'open')")
    assert (await everything.change())["record"]["title"] == "private"
    assert (await anon.change())["table"] == "memos"


async def test_a_publishable_key_connects_and_counts_as_anon(stack: Stack) -> None:
    for token in (None, stack.keys.publishable_key):
        client = await stack.client()
        await client.subscribe("realtime:m", on("memos"), token=token)
        await stack.sql("insert into memos values (%s, 'x')", len(stack.open))
        assert (await client.change())["record"]["id"] == len(stack.open)


async def test_rows_of_one_transaction_come_in_order_and_a_truncate_is_silent(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", on("memos"), token=stack.token())
    async with stack.database.transaction():
        await stack.sql("insert into memos select n, 'bulk' from generate_series(1, 200) n")
        await stack.sql("update memos set body = 'last' where id = 200")
    ids = [(await client.change())["record"]["id"] for _ in range(200)]
    assert ids == list(range(1, 201))
    assert (await client.change())["record"] == {"id": 200, "body": "last"}
    await stack.sql("truncate memos")
    await stack.sql("insert into memos values (1, 'after')")
    assert (await client.change())["record"]["body"] == "after"


async def test_a_row_that_is_gone_before_its_policy_could_be_asked_is_not_told(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", on("memos"), token=stack.token())
    async with stack.database.transaction():
        await stack.sql("insert into memos values (1, 'brief')")
        await stack.sql("delete from memos")
    assert (await client.change())["type"] == "DELETE"


async def test_a_row_updated_twice_at_once_is_told_in_both_versions(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", on("memos", "UPDATE"), token=stack.token())
    await stack.sql("insert into memos values (1, 'zero')")
    async with stack.database.pipeline():
        await stack.sql("update memos set body = 'one'")
        await stack.sql("update memos set body = 'two'")
    assert [(await client.change())["record"]["body"] for _ in range(2)] == ["one", "two"]


async def test_replica_identity_full_shows_the_old_row_of_an_update_and_only_the_key_of_a_delete(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", on("memos"), token=stack.token())
    inserted = await told(stack, client, "insert into memos values (1, 'a')")
    updated = await told(stack, client, "update memos set id = 2, body = 'b'")
    deleted = await told(stack, client, "delete from memos")
    assert inserted["columns"] == MEMO_COLUMNS
    assert (updated["record"], updated["old_record"]) == ({"id": 2, "body": "b"}, {"id": 1, "body": "a"})
    assert deleted["old_record"] == {"id": 2}


async def test_a_changed_key_is_in_the_old_record(own_stack: Stack) -> None:
    await own_stack.sql("alter table memos replica identity default")
    client = await own_stack.client()
    await client.subscribe("realtime:m", on("memos", "UPDATE"), token=own_stack.token())
    await own_stack.sql("insert into memos values (1, 'a')")
    await own_stack.sql("update memos set id = 9")
    change = await client.change()
    assert (change["record"], change["old_record"]) == ({"id": 9, "body": "a"}, {"id": 1})


async def test_a_large_value_an_update_did_not_touch_is_left_out_or_taken_from_the_old_row(own_stack: Stack) -> None:
    await own_stack.sql("alter table memos add column note int")
    await own_stack.sql("alter table memos alter body set storage external")
    await own_stack.sql("alter table memos replica identity default")
    await own_stack.sql("insert into memos values (1, repeat('x', 9000))")
    client = await own_stack.client()
    await client.subscribe("realtime:m", on("memos"), token=own_stack.token())
    await own_stack.sql("update memos set note = 1")
    await own_stack.sql("alter table memos replica identity full")
    await own_stack.sql("update memos set note = 2")
    assert (await client.change())["record"] == {"id": 1, "note": 1}
    assert (await client.change())["record"] == {"id": 1, "note": 2, "body": "x" * 9000}


async def test_columns_without_a_grant_are_hidden_from_record_columns_and_old_record(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:l", on("ledger"), token=stack.token())
    await stack.sql("insert into ledger values (1, 5, 'shh')")
    await stack.sql("update ledger set amount = 6")
    await stack.sql("delete from ledger")
    changes = [await client.change() for _ in range(3)]
    assert "shh" not in json.dumps(changes)
    assert [column["name"] for column in changes[0]["columns"]] == ["id", "amount"]
    assert changes[0]["record"] == {"id": 1, "amount": 5}
    # Without row-level security a deletion may show what the identity holds.
    assert (changes[1]["old_record"], changes[2]["old_record"]) == ({"id": 1, "amount": 5}, {"id": 1, "amount": 6})


async def test_a_table_that_may_not_be_read_says_401_and_a_deletion_shows_nothing(stack: Stack) -> None:
    client = await stack.client()
    reply = await client.subscribe("realtime:v", on("vault"), token=stack.token())
    ids = [binding["id"] for binding in reply["response"]["postgres_changes"]]
    await stack.sql("insert into vault values (1, 'w')")
    await stack.sql("update vault set word = 'x'")
    await stack.sql("delete from vault")
    refused = '"errors":["Error 401: Unauthorized"],"schema":"public","commit_timestamp":null'
    assert str(await client.raw()) == (
        '{"ref":null,"event":"postgres_changes","topic":"realtime:v","payload":{"data":{"table":"vault",'
        f'"type":"INSERT","record":{{}},"columns":[],{refused}}},"ids":{ids}}}}}'
    )
    assert (await client.change())["errors"] == ["Error 401: Unauthorized"]
    deleted = await client.change()
    assert (deleted["columns"], deleted["old_record"], deleted["errors"]) == ([], {}, None)
    assert deleted["commit_timestamp"]


async def test_a_table_without_a_primary_key_says_400(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:k", on("keyless"), token=stack.token())
    await stack.sql("insert into keyless values ('w')")
    change = await client.change()
    assert (change["errors"], change["record"]) == (["Error 400: Bad Request, no primary key"], {})


async def test_a_policy_that_fails_withholds_the_row_from_that_subscriber_alone(stack: Stack) -> None:
    unlucky, lucky = await stack.client(), await stack.client()
    await unlucky.subscribe("realtime:g", on("grumpy"), token=stack.token(level="none"))
    await lucky.subscribe("realtime:g", on("grumpy"), token=stack.token(level="3"))
    await stack.sql("insert into grumpy values (1)")
    assert (await lucky.change())["record"] == {"id": 1}
    failed = await unlucky.change()
    assert failed["errors"] == ["Error 500: Internal Server Error, RLS policy evaluation failed"]
    assert (failed["record"], failed["columns"]) == ({}, [])


async def test_a_change_over_one_megabyte_loses_its_large_fields(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:m", on("memos"), token=stack.token())
    inserted = await told(stack, client, "insert into memos values (8, repeat('x', 1100000))")
    deleted = await told(stack, client, "delete from memos")
    assert (inserted["record"], inserted["errors"]) == ({"id": 8}, ["Error 413: Payload Too Large"])
    assert (inserted["columns"], inserted["commit_timestamp"] is not None) == (MEMO_COLUMNS, True)
    assert (deleted["old_record"], deleted["errors"]) == ({"id": 8}, ["Error 413: Payload Too Large"])


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amount=eq.5", [5]),
        ("amount=neq.5", [1, 9]),
        ("amount=lt.5", [1]),
        ("amount=lte.5", [1, 5]),
        ("amount=gt.5", [9]),
        ("amount=gte.5", [5, 9]),
        ("amount=in.(1,9)", [1, 9]),
        ("amount=not.in.(1,9)", [5]),
        ("amount=gt.1,amount=lt.9", [5]),
        ("amount=is.null", [None]),
        ("amount=not.is.null", [1, 5, 9]),
        ("amount=isdistinct.5", [1, 9, None]),
    ],
)
async def test_a_filter_lets_through_what_postgres_says_it_should(
    stack: Stack, condition: str, told: list[Any]
) -> None:
    client = await stack.client()
    await client.subscribe("realtime:l", on("ledger", "INSERT", filter=condition), on("memos"), token=stack.token())
    await stack.sql("insert into ledger (id, amount) values (1, 1), (2, 5), (3, 9), (4, null)")
    await stack.sql("insert into memos values (1, 'the end')")
    amounts = []
    while (change := await client.change())["table"] == "ledger":
        amounts.append(change["record"]["amount"])
    assert amounts == told


async def test_text_filters_take_patterns_quotes_and_commas_as_data(stack: Stack) -> None:
    client = await stack.client()
    conditions = ("like.a%", 'eq."x,y"', "ilike.ZED", "in.(p,q)", "match.^m[0-9]$", "imatch.^N+$", "not.match.^[^-]*$")
    bindings = [on("memos", filter=f"body={each}") for each in conditions]
    reply = await client.subscribe("realtime:m", *bindings, token=stack.token())
    ids = [binding["id"] for binding in reply["response"]["postgres_changes"]]
    await stack.sql("insert into memos values (1, 'abc'), (2, 'x,y'), (3, 'zed'), (4, 'q'), (5, 'none')")
    await stack.sql("insert into memos values (6, 'm5'), (7, 'nnn'), (8, 'a-b'), (9, 'm55')")
    told = [(await client.next())[2]["ids"] for _ in range(7)]
    assert told == [*([each] for each in ids[:6]), [ids[0], ids[6]]]


async def test_a_policy_is_asked_about_the_changed_row_and_no_other(own_stack: Stack) -> None:
    await own_stack.sql("alter publication supabase_realtime drop table memos")  # these are nobody's changes
    await own_stack.sql("insert into memos select n, 'old' from generate_series(1, 5000) as n")
    await own_stack.sql("alter publication supabase_realtime add table memos")
    await own_stack.sql("create sequence asked; grant usage on sequence asked to authenticated")
    await own_stack.sql("create policy counted on memos as restrictive for select using (nextval('asked') > 0)")
    client = await own_stack.client()
    await client.subscribe("realtime:m", on("memos"), token=own_stack.token())
    await own_stack.sql("insert into memos select n, 'new' from generate_series(5001, 5020) as n")
    for _ in range(20):
        await client.change()
    assert await (await own_stack.database.execute("select last_value from asked")).fetchone() == (20,)


async def test_patterns_that_take_too_long_close_their_channel_and_no_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.localstack.realtime.fanout.PATTERN_MS", 1)
    slow, quick = await stack.client(), await stack.client()
    await quick.subscribe("realtime:q", on("memos"), token=stack.token())
    await slow.subscribe("realtime:s", on("memos", filter="body=match.x"), token=stack.token())
    await stack.sql("create policy slow on memos as restrictive for select using (pg_sleep(0.05) is not null)")
    try:
        await stack.sql("insert into memos values (1, 'x')")
        assert (await quick.change())["record"] == {"id": 1, "body": "x"}
        assert (await slow.next())[2]["message"] == "The filters of this channel take too long"
        assert (await slow.next())[1] == "phx_close"
    finally:
        await stack.sql("drop policy slow on memos")
    await stack.sql("insert into memos values (2, 'x')")
    assert (await quick.change())["record"] == {"id": 2, "body": "x"}


async def test_a_deletion_is_filtered_by_what_the_old_row_shows(stack: Stack) -> None:
    """Its key can be filtered; a column that is not part of the replica identity hides it."""
    client = await stack.client()
    await client.subscribe("realtime:t", on("tasks", "DELETE", filter=f"owner=eq.{ANN}"), token=stack.token())
    await client.subscribe("realtime:u", on("tasks", "DELETE", filter="id=eq.2"), token=stack.token())
    await insert_task(stack, ANN, "one")
    await insert_task(stack, BOB, "two")
    await stack.sql("delete from tasks")
    topic, _, payload = await client.next()
    assert (topic, payload["data"]["old_record"]) == ("realtime:u", {"id": 2})


async def test_one_change_that_answers_two_bindings_is_one_frame_with_both_ids(stack: Stack) -> None:
    client = await stack.client()
    reply = await client.subscribe("realtime:m", on("memos"), on("memos", "INSERT"), token=stack.token())
    first, second = (binding["id"] for binding in reply["response"]["postgres_changes"])
    await stack.sql("insert into memos values (1, 'a')")
    assert sorted((await client.next())[2]["ids"]) == sorted([first, second])
    await stack.sql("delete from memos")
    assert (await client.next())[2]["ids"] == [first]


async def test_a_schema_wide_binding_follows_tables_published_later(own_stack: Stack) -> None:
    client = await own_stack.client()
    await client.subscribe("realtime:all", {"event": "*", "schema": "public"}, token=own_stack.token())
    await own_stack.sql("alter publication supabase_realtime add table unpublished")
    await own_stack.sql("insert into unpublished values (1)")
    assert (await client.change())["table"] == "unpublished"


async def test_selected_columns_come_with_the_key_and_no_others(stack: Stack) -> None:
    client = await stack.client()
    await client.subscribe("realtime:t", on("tasks", select=["title"]), on("memos"), token=stack.token())
    await insert_task(stack, ANN, "tea")
    change = await client.change()
    assert change["record"] == {"id": 1, "title": "tea"}
    assert [column["name"] for column in change["columns"]] == ["id", "title"]


async def test_a_new_token_changes_what_is_seen_and_is_confirmed_by_a_second_message(stack: Stack) -> None:
    client = await stack.client("2.0.0")
    await client.subscribe("realtime:t", on("tasks"), token=stack.token(ANN))
    await client.send("realtime:t", "access_token", {"access_token": stack.token(BOB)}, join_ref="1")
    assert await client.raw() == (
        '["1",null,"realtime:t","system",{"message":"Subscribed to PostgreSQL","status":"ok",'
        '"extension":"postgres_changes","channel":"t"}]'
    )
    await insert_task(stack, ANN, "hers")
    await insert_task(stack, BOB, "his")
    assert (await client.change())["record"]["title"] == "his"


async def test_many_subscribers_with_their_own_rights_each_see_their_own_row(stack: Stack) -> None:
    people = [f"c0000000-0000-4000-8000-{number:012d}" for number in range(12)]
    clients = []
    for person in people:
        client = await stack.client()
        await client.subscribe("realtime:t", on("tasks"), token=stack.token(person))
        clients.append(client)
    for person in people:
        await insert_task(stack, person, person)
    for client, person in zip(clients, people, strict=True):
        assert (await client.change())["record"]["title"] == person
