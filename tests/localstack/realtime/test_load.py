"""Many subscribers and many changes: nobody misses one, hears it twice, or out of order.

How late they are is measured in bench/realtime.py.
"""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from tests.localstack.realtime.conftest import Stack
from tests.localstack.realtime.phoenix import Phoenix
from tests.support.waiting import paced

pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBSCRIBERS, RATE, SECONDS = 100, 200, 3
PATIENCE_S = 90
SIGNED_IN = {"event": "INSERT", "schema": "public", "table": "memos"}


async def heard(client: Phoenix, rows: int) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < rows:
        numbers.append(json.loads(await client.connection.recv())["payload"]["data"]["record"]["id"])
    return numbers


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_hundred_subscribers_hear_each_of_two_hundred_changes_a_second_once_and_in_order(
    own_stack: Stack,
) -> None:
    await own_stack.sql("drop policy all_rows on memos")
    await own_stack.sql("create policy signed_in on memos for select to authenticated using (auth.uid() is not null)")
    clients = [await own_stack.client(compression=None, ping_interval=None) for _ in range(SUBSCRIBERS)]
    for client in clients:
        await client.subscribe("realtime:m", SIGNED_IN, token=own_stack.token(str(uuid4())))
    rows = RATE * SECONDS
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        hearing = [tasks.create_task(heard(client, rows)) for client in clients]
        async for number in paced(RATE, rows):
            await own_stack.sql("insert into memos values (%s, 'x')", number)
    assert all(task.result() == list(range(rows)) for task in hearing)
