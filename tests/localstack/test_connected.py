"""A connection for one piece of work."""

from __future__ import annotations

import asyncio

import pytest

from agent.localstack.connected import connected
from tests.support.stack import StackThread


async def test_it_is_committed_and_closed(bare: StackThread) -> None:
    async with connected(bare.dsn) as connection:
        await connection.execute("create temporary table t ()")
    assert connection.closed


async def test_it_is_closed_also_when_its_commit_is_called_off(
    bare: StackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    committing = asyncio.Event()
    taken = []

    async def stuck() -> None:
        committing.set()
        await asyncio.Event().wait()

    async def work() -> None:
        async with connected(bare.dsn) as connection:
            monkeypatch.setattr(connection, "commit", stuck)
            taken.append(connection)

    task = asyncio.create_task(work())
    await committing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken[0].closed
