"""Prepared statements and the one round trip: plans do not outlive what they were made for, errors are never lost."""

from __future__ import annotations

import asyncio
from hashlib import md5
from typing import cast

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.pq import ConnStatus
from psycopg.pq.abc import PGconn

from agent.localstack.rest.wire import MOST_PREPARED, Answers, Often, Statement, Wire
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
    schema = object()
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        wire = Wire(connection, Often())

        async def ask(text: str) -> str:
            return ((await wire.exchange([Statement(text, ["7"])], schema=schema))[0][0] or b"").decode()

        kept = "select count(*) - 1 + $1::int * 0 from pg_prepared_statements"
        assert [await ask("select $1::int") for _ in range(3)] == ["7"] * 3
        assert [await ask(kept) for _ in range(3)] == ["0", "1", "1"]
        for number in range(2 * MOST_PREPARED):
            assert [await ask(f"select $1::int + {number}") for _ in range(2)] == [str(7 + number)] * 2
        assert int(await ask(kept)) < MOST_PREPARED
        wire.release()


async def test_plans_are_forgotten_when_the_schema_is_another(filmed: StackThread) -> None:
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        wire = Wire(connection, Often())
        for schema, what in ((object(), "*"), (object(), "name")):
            kept = Statement(f"select count({what}) from pg_prepared_statements")  # noqa: S608 # not prepared itself
            for _ in range(3):
                await wire.exchange([Statement("select 1")], schema=schema)
            assert await wire.exchange([kept], schema=schema) == [(b"1",)]
        wire.release()


async def test_a_caller_who_gives_up_costs_the_connection_and_nothing_else(filmed: StackThread) -> None:
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        wire = Wire(connection, Often())
        slow = asyncio.create_task(wire.exchange([Statement("select pg_sleep(5)")], schema=None))
        await wait_until(lambda: filmed.sql("select 1 from pg_stat_activity where query = 'select pg_sleep(5)'"), 5)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert connection.closed
    # Nor does Postgres go on with it.
    active = "select 1 from pg_stat_activity where query = 'select pg_sleep(5)' and state = 'active'"
    await wait_until(lambda: not filmed.sql(active), 3)


class LostConnection:
    """libpq once the other end is gone in the middle of a pipeline: not busy, no result, for ever."""

    status = ConnStatus.BAD
    error_message = b"the other end is gone"

    def consume_input(self) -> None:
        """It had the end of the stream to read."""

    def is_busy(self) -> bool:
        return False

    def get_result(self) -> None:
        return None


async def test_a_connection_that_is_lost_within_a_pipeline_is_an_error_and_no_loop() -> None:
    ended: list[bool] = []
    answers = Answers(cast("PGconn", LostConnection()), lambda: ended.append(True))
    done = answers.expect(asyncio.get_running_loop())
    answers.read()
    with pytest.raises(psycopg.OperationalError, match="the other end is gone"):
        await done
    assert ended == [True]


async def test_a_connection_that_postgres_ends_is_an_error_once_and_then_another_one(filmed: StackThread) -> None:
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        wire = Wire(connection, Often())
        with pytest.raises(psycopg.OperationalError):
            await wire.exchange([Statement("select pg_terminate_backend(pg_backend_pid())")], schema=None)
        assert not wire.sound


async def test_what_does_not_fit_the_socket_at_once_is_sent_as_it_takes_it(filmed: StackThread) -> None:
    long = "x" * 8_000_000
    async with await AsyncConnection.connect(filmed.dsn, autocommit=True) as connection:
        wire = Wire(connection, Often())
        asked = [Statement("select length($1), md5($1)", [long]), Statement("select $1", [long])]
        first, second = await wire.exchange(asked, schema=None)
        wire.release()
    digest = md5(long.encode()).hexdigest()  # noqa: S324 # compared with Postgres'
    assert first == (str(len(long)).encode(), digest.encode())
    assert second == (long.encode(),)
