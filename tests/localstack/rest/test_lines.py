"""Connections at hand: as many as the pool has and no more, none that is broken, and all of them given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from agent.localstack.pool import Pool
from agent.localstack.rest import lines as module
from agent.localstack.rest.lines import Lines
from agent.localstack.rest.wire import Statement, Wire
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

PID = [Statement("select pg_backend_pid()")]


@pytest.fixture
async def lines(bare: StackThread) -> AsyncIterator[Lines]:
    pool = Pool(bare.dsn, 2)
    await pool.start()
    running = Lines(pool)
    yield running
    await running.stop()
    await pool.stop()


async def pid(wire: Wire) -> int:
    return int((await wire.exchange(PID, schema=None))[0][0] or b"")


async def test_the_one_that_was_used_last_is_used_next(lines: Lines) -> None:
    first, second = await lines.take(), await lines.take()
    lines.give(first)
    lines.give(second)
    for _ in range(3):
        assert await lines.take() is second
        lines.give(second)


async def test_who_comes_when_all_are_lent_gets_the_next_one_in_turn(lines: Lines) -> None:
    first, second = await lines.take(), await lines.take()
    waiting = [asyncio.create_task(lines.take()) for _ in range(2)]
    await asyncio.sleep(0)
    lines.give(first)
    assert await waiting[0] is first
    lines.give(second)
    assert await waiting[1] is second
    lines.give(first)
    lines.give(second)


async def test_who_gives_up_waiting_costs_nobody_a_connection(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "QUICK_S", 0.02)
    first, second = await lines.take(), await lines.take()
    with pytest.raises(PoolTimeout):
        await lines.take()
    gone = asyncio.create_task(lines.take())
    await asyncio.sleep(0)
    lines.give(first)  # handed over in the moment in which it is not wanted any more
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await lines.take() is first
    lines.give(first)
    lines.give(second)


async def test_each_waits_for_his_own_time(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    both = [await lines.take() for _ in range(2)]
    waiting = []
    for patience in (0.01, 0.03):
        monkeypatch.setattr(module, "QUICK_S", patience)
        waiting.append(asyncio.create_task(lines.take()))
        await asyncio.sleep(0)
    with pytest.raises(PoolTimeout):
        await waiting[0]
    with pytest.raises(PoolTimeout):
        await waiting[1]
    for wire in both:
        lines.give(wire)
    assert await lines.take() is both[1]
    lines.give(both[1])


async def test_a_broken_one_is_replaced_whoever_finds_it(bare: StackThread, lines: Lines) -> None:
    first, second = await lines.take(), await lines.take()
    pids = {await pid(first), await pid(second)}
    waiting = asyncio.create_task(lines.take())
    await asyncio.sleep(0)
    first.connection.pgconn.finish()
    lines.give(first)
    third = await waiting
    assert await pid(third) not in pids
    lines.give(second)
    lines.give(third)
    bare.sql(f"select pg_terminate_backend({await pid(third)})")
    await wait_until(lambda: not third.sound, 5)
    assert await lines.take() is second
    lines.give(second)


async def test_one_that_breaks_before_it_is_lent_is_given_back(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Wire:
        raise psycopg.OperationalError("the connection is closed")

    with monkeypatch.context() as broken:
        broken.setattr(module, "Wire", breaks)
        for _ in range(3):  # more than there are
            with pytest.raises(psycopg.OperationalError):
                await lines.take()
    both = [await lines.take() for _ in range(2)]
    for wire in both:
        lines.give(wire)


async def test_who_is_not_wanted_goes_back_to_the_pool(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    wire = await lines.take()
    kept = await pid(wire)
    lines.give(wire)
    await wait_until(lambda: not lines._idle, 5)
    again = await lines.take()
    assert again is not wire
    assert await pid(again) == kept
    lines.give(again)
