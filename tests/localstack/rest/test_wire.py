"""Prepared statements and the one round trip: plans do not outlive what they were made for, errors are never lost."""

from __future__ import annotations

import asyncio

from psycopg import AsyncConnection

from agent.localstack.rest.wire import MOST_PREPARED, Statement, Wire
from tests.localstack.conftest import Api
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

FULL = "return=representation"


async def test_plans_do_not_outlive_the_type_of_a_column(service: Api) -> None:
    service.stack.sql("create table shifting (a int); grant all on shifting to service_role")
    service.stack.sql("insert into shifting values (1)")
    try:
        await wait_until(lambda: _status(service, "1"), 5)
        for _ in range(30):
            assert (await service.get("/rest/v1/shifting?a=eq.1")).json() == [{"a": 1}]
        service.stack.sql("alter table shifting alter a type text")
        await wait_until(lambda: _status(service, "one"), 5)
        answers = [await service.get("/rest/v1/shifting?a=eq.1") for _ in range(30)]
        assert {answer.text for answer in answers} == {'[{"a":"1"}]'}
    finally:
        service.stack.sql("drop table shifting")


async def _status(api: Api, value: str) -> bool:
    return (await api.get(f"/rest/v1/shifting?a=eq.{value}")).status_code == 200


async def test_what_is_only_checked_at_commit_is_an_error_too(service: Api) -> None:
    service.stack.sql(
        "create table late (a int unique deferrable initially deferred); grant all on late to service_role"
    )
    try:
        await wait_until(lambda: _inserted(service), 5)
        for prefer in ("return=minimal", FULL, "handling=strict, max-affected=5"):
            answer = await service.post("/rest/v1/late", {"a": 1}, prefer=prefer)
            assert (answer.status_code, answer.json()["code"]) == (409, "23505"), prefer
        assert service.stack.sql("select count(*) from late") == [{"count": 1}]
    finally:
        service.stack.sql("drop table late")


async def _inserted(api: Api) -> bool:
    return (await api.post("/rest/v1/late", {"a": 1})).status_code in {201, 409}


async def test_a_statement_that_fails_leaves_the_connection_usable(service: Api) -> None:
    async def mixed(number: int) -> tuple[int, int]:
        bad = await service.get(f"/rest/v1/films?select=id&year=eq.x{number}")
        good = await service.get(f"/rest/v1/films?select=id&year=eq.{number}")
        return bad.status_code, good.status_code

    assert set(await asyncio.gather(*(mixed(number) for number in range(80)))) == {(400, 200)}


async def test_a_statement_that_does_not_prepare_is_said_each_time(service: Api) -> None:
    for _ in range(6):
        answer = await service.get("/rest/v1/films?raw=eq.1")
        assert (answer.status_code, answer.json()["code"]) == (404, "42883")


async def test_what_comes_twice_is_prepared_and_not_too_much_of_it_is_kept(filmed: StackThread) -> None:
    wire, schema = Wire(), object()
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:

        async def ask(text: str) -> str | None:
            return (await wire.exchange(connection, [Statement(text, ["7"])], schema=schema))[0][0]

        kept = "select count(*) - 1 + $1::int * 0 from pg_prepared_statements"
        assert [await ask("select $1::int") for _ in range(3)] == ["7"] * 3
        assert [await ask(kept) for _ in range(3)] == ["0", "1", "1"]
        for number in range(2 * MOST_PREPARED):
            assert [await ask(f"select $1::int + {number}") for _ in range(2)] == [str(7 + number)] * 2
        assert int(await ask(kept) or "") < MOST_PREPARED


async def test_plans_are_forgotten_when_the_schema_is_another(filmed: StackThread) -> None:
    wire = Wire()
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        for schema in (object(), object()):
            for _ in range(3):
                await wire.exchange(connection, [Statement("select 1")], schema=schema)
            cursor = await connection.execute("select count(*) from pg_prepared_statements")
            assert await cursor.fetchone() == (1,)


async def test_a_caller_who_gives_up_costs_the_connection_and_nothing_else(filmed: StackThread) -> None:
    wire = Wire()
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        slow = asyncio.create_task(wire.exchange(connection, [Statement("select pg_sleep(5)")], schema=None))
        await wait_until(lambda: filmed.sql("select 1 from pg_stat_activity where query = 'select pg_sleep(5)'"), 5)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert connection.closed
