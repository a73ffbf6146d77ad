"""A subscriber as an attacker: strings that would be SQL, roles it has no right to, and traps in the public schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localstack.realtime.conftest import ANN, BOB, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

INJECTIONS = [
    "'; drop table memos; --",
    '"; drop table memos; --',
    "$$; drop table memos; $$",
    "id) or true; drop table memos; --",
    "memos\\'; drop table memos; --",
    "%I %s %L",
    "id::text",
    "x' || pg_sleep(9) || '",
]


async def tables(stack: Stack) -> list[str]:
    cursor = await stack.database.execute(
        "select tablename::text from pg_tables where schemaname = 'public' order by 1"
    )
    return [name for (name,) in await cursor.fetchall()]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_hostile_names_and_values_are_data_and_never_sql(stack: Stack, text: str) -> None:
    before = await tables(stack)
    client = await stack.client()
    ask = {"event": "*", "schema": "public", "table": "memos"}
    hostile: list[Any] = [
        {**ask, "table": text},
        {**ask, "schema": text},
        {**ask, "filter": f"{text}=eq.1"},
        {**ask, "filter": f"id=eq.{text}"},
        {**ask, "filter": f"id=in.({text})"},
        {**ask, "filter": f"id={text}.1"},
        {**ask, "select": [text]},
    ]
    for number, binding in enumerate(hostile):
        await client.join(f"realtime:{text}{number}", binding, token=stack.token())
        assert (await client.next())[2]["status"] == "error", binding
    # As a text value it is compared, and matches a row that says so.
    await client.subscribe(f"realtime:{text}", {**ask, "filter": f'body=eq."{_quoted(text)}"'}, token=stack.token())
    await stack.sql("insert into memos values (1, 'x'), (2, %s)", text)
    assert (await client.change())["record"] == {"id": 2, "body": text}
    assert await tables(stack) == before


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


async def test_tables_and_columns_with_hostile_names_are_served_like_any_other(own_stack: Stack) -> None:
    name = 'we"ird; drop table memos; --'
    table = '"we""ird; drop table memos; --"'
    column = 'it\'s "%I" \\ $1'
    quoted = '"it\'s ""%I"" \\ $1"'
    await own_stack.sql(f"create table {table} (id int primary key, {quoted} text)")
    await own_stack.sql(f"alter table {table} enable row level security")
    await own_stack.sql(f"create policy seen on {table} using (true)")
    await own_stack.sql(f"grant select on {table} to authenticated")
    await own_stack.sql(f"alter publication supabase_realtime add table {table}")
    client = await own_stack.client()
    binding = {"event": "*", "schema": "public", "table": name, "filter": f"{column}=eq.v"}
    await client.subscribe("realtime:w", binding, token=own_stack.token())
    await own_stack.sql(f"insert into {table} select 1, 'v'")
    change = await client.change()
    assert (change["table"], change["record"]) == (name, {"id": 1, column: "v"})


async def test_what_a_role_plants_in_public_never_runs_as_the_superuser(own_stack: Stack) -> None:
    """An operator and functions with a better match than the catalog's: they may fool their owner, nobody else."""
    await own_stack.sql("create table trapped (who text)")
    await own_stack.sql("grant insert, select on trapped to public")
    await own_stack.sql("grant create on schema public to authenticated")
    await own_stack.sql("set role authenticated")
    for statement in (
        (
            "create function public.trap(text, text) returns boolean language plpgsql as "
            "$$ begin insert into public.trapped values (current_user); return true; end $$"
        ),
        "create operator public.= (leftarg = text, rightarg = text, function = public.trap)",
        (
            "create function public.format(text, text) returns text language plpgsql as "
            "$$ begin insert into public.trapped values (current_user); return 'x'; end $$"
        ),
        (
            "create function public.to_jsonb(text) returns jsonb language plpgsql as "
            "$$ begin insert into public.trapped values (current_user); return '1'; end $$"
        ),
    ):
        await own_stack.sql(statement)
    await own_stack.sql("reset role")
    client = await own_stack.client()
    ask = {"event": "*", "schema": "public", "table": "memos", "filter": "body=eq.a"}
    await client.subscribe("realtime:m", ask, token=own_stack.token())
    await own_stack.sql("insert into memos values (1, 'a')")
    assert (await client.change())["record"]["body"] == "a"
    cursor = await own_stack.database.execute("select distinct who from trapped")
    assert await cursor.fetchall() in ([], [("authenticated",)])


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_subscribers_roles_may_not_touch_the_servers_own_functions(own_stack: Stack, role: str) -> None:
    await own_stack.sql(f"set role {role}")
    with pytest.raises(Exception, match="permission denied for schema realtime_local"):
        await own_stack.sql("select realtime_local.fan_out(0, '', '{}', '[]', '[]')")
    await own_stack.sql("reset role")


async def test_only_the_three_roles_can_be_taken_on(stack: Stack) -> None:
    for role in ("postgres", "none", "pg_read_all_data", "anon; drop table memos"):
        with pytest.raises(Exception, match="not a subscriber's role"):
            await stack.sql("select realtime_local.ask_as(%s, '[]', 'select', '[]', '[]', '')", role)
        with pytest.raises(Exception, match="not a subscriber's role"):
            await stack.sql("select realtime_local.try_as(%s, 'select', '[]', '[]')", role)
        for query in ("may_read(%s, '{}', '{}', 't', true)", "may_write(%s, '{}', '{}', 't', 'broadcast')"):
            with pytest.raises(Exception, match="not a subscriber's role"):
                await stack.sql(f"select realtime_local.{query}", role)


async def test_after_asking_as_a_subscriber_the_connection_is_itself_again(stack: Stack) -> None:
    async with stack.database.transaction():
        for query in (
            """ask_as('anon', '[{"nth": 0, "claims": "{}", "rows": [0]}]', 'select array[0] as x', '[{}]', '[]', '')""",
            "try_as('anon', 'select array[0] as x', '[]', '[]')",
        ):
            await stack.sql(f"select realtime_local.{query}")
        cursor = await stack.database.execute(
            "select current_user::text, current_setting('request.jwt.claims', true), current_setting('search_path')"
        )
        user, claims, path = await cursor.fetchone()
    assert (user, claims or "") == ("postgres", "")
    assert path == '"$user", public'


async def test_a_filter_is_no_way_to_guess_a_column_that_may_not_be_read(own_stack: Stack) -> None:
    """Neither at once, nor after the right was taken away while subscribed."""
    client = await own_stack.client()
    ask = {"event": "*", "schema": "public", "table": "ledger"}
    await client.subscribe("realtime:l", {**ask, "filter": "amount=gt.0"}, token=own_stack.token())
    await client.subscribe("realtime:m", {**ask, "table": "memos"}, token=own_stack.token())
    await own_stack.sql("revoke select (amount) on ledger from authenticated")
    await own_stack.sql("insert into ledger values (1, 5, 'x')")
    await own_stack.sql("insert into memos values (1, 'end')")
    assert (await client.change())["table"] == "memos"


async def test_claims_reach_policies_as_the_token_says_them_and_for_no_one_else(own_stack: Stack) -> None:
    await own_stack.sql(
        "create policy friends on tasks for select to authenticated using (auth.jwt() -> 'friends' ? owner::text)"
    )
    friend, stranger = await own_stack.client(), await own_stack.client()
    ask = {"event": "*", "schema": "public", "table": "tasks"}
    await friend.subscribe("realtime:t", ask, token=own_stack.token(BOB, friends=[ANN], note='it\'s "x" \\ é'))
    await stranger.subscribe("realtime:t", ask, token=own_stack.token(BOB))
    await own_stack.sql("insert into tasks (owner, title) values (%s, 'for friends'), (%s, 'for bob')", ANN, BOB)
    assert (await friend.change())["record"]["title"] == "for friends"
    assert (await stranger.change())["record"]["title"] == "for bob"


async def test_a_schema_without_usage_is_closed(own_stack: Stack) -> None:
    await own_stack.sql("create schema inner_room")
    await own_stack.sql("create table inner_room.diary (id int primary key)")
    await own_stack.sql("grant select on inner_room.diary to authenticated")
    await own_stack.sql("alter publication supabase_realtime add table inner_room.diary")
    client = await own_stack.client()
    await client.subscribe(
        "realtime:d", {"event": "*", "schema": "inner_room", "table": "diary"}, token=own_stack.token()
    )
    await own_stack.sql("insert into inner_room.diary values (1)")
    assert (await client.change())["errors"] == ["Error 401: Unauthorized"]


async def test_claims_that_postgres_cannot_represent_silence_their_owner_alone(stack: Stack) -> None:
    ask = {"event": "*", "schema": "public", "table": "tasks"}
    for number, note in enumerate(("\ud800", "\u0000")):
        odd, plain = await stack.client(), await stack.client()
        await odd.subscribe("realtime:t", ask, token=stack.token(ANN, note=note))
        await plain.subscribe("realtime:t", ask, token=stack.token(ANN))
        await stack.sql("insert into tasks (owner, title) values (%s, %s)", ANN, str(number))
        assert (await plain.change())["record"]["title"] == str(number)
        failed = await odd.change()
        assert failed["errors"] == ["Error 500: Internal Server Error, RLS policy evaluation failed"]
