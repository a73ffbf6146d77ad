"""An embedded stack of our own, to break: short tokens, restarts, sleep. Nothing may be left behind or go deaf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest

from agent.adapters.supabase.realtime import SupervisedRealtime
from agent.errors import Unreachable
from agent.localstack.stack import Options
from agent.model import AgentState, WakeKind
from tests.support.parties import Side, greeted, running, side, wake_of
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[StackThread]:
    """On a port of its own, so that it comes back where it was; tokens live for five seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = Options(token_ttl_s=5, leeway_s=0, fsync=False, bcrypt_rounds=4)
    own = StackThread(tmp_path_factory.mktemp("brittle"), port=port, options=options)
    try:
        own.start()
        own.migrate()
        yield own
    finally:
        own.close()


@pytest.fixture
async def agent(project) -> AsyncIterator[Side]:
    async with side(project, project.agent) as party:
        yield party


def insert(agent: Side) -> str:
    rows = agent.project.sql(
        "insert into cron_run_requests (project_id, job_id) values (%s, 'a') returning id", agent.project.project_id
    )
    return str(rows[0]["id"])


async def hears(agent: Side, realtime: SupervisedRealtime) -> None:
    request_id = insert(agent)
    assert str((await asyncio.wait_for(wake_of(realtime, WakeKind.QUEUED), 2)).request_id) == request_id


async def test_realtime_and_calls_outlive_their_tokens(agent):
    rest, realtime = await greeted(agent), agent.realtime()
    connected = 0
    async with running(realtime.run(), agent.session.run()):
        await wait_until(lambda: realtime.healthy)
        first = await agent.session.token()
        loop = asyncio.get_running_loop()
        ends = loop.time() + 7
        while loop.time() < ends:
            connected += realtime.healthy
            await rest.beat([], AgentState(), ["a"])
            await hears(agent, realtime)
        assert await agent.session.token() != first
        assert connected > 5


async def test_a_token_that_nobody_renewed_in_time_is_renewed_on_demand(agent):
    rest, realtime = await greeted(agent), agent.realtime()
    async with running(realtime.run()):
        await wait_until(lambda: realtime.healthy)
        await wait_until(lambda: not realtime.healthy, timeout=10)
        assert "expired" in realtime.reason.lower()
        await wait_until(lambda: realtime.healthy)
        await hears(agent, realtime)
        await rest.beat([], AgentState(), ["a"])


async def test_a_restart_of_the_gateway_is_outlived(stack, agent):
    rest, realtime = await greeted(agent), agent.realtime()
    async with running(realtime.run(), agent.session.run()):
        await wait_until(lambda: realtime.healthy)
        await asyncio.to_thread(stack.stop)
        await wait_until(lambda: not realtime.healthy)
        with pytest.raises(Unreachable):
            await rest.beat([], AgentState(), ["a"])
        await asyncio.to_thread(stack.start)
        await wait_until(lambda: realtime.healthy, timeout=30)
        await hears(agent, realtime)
        await rest.beat([], AgentState(), ["a"])


async def test_a_restart_of_the_database_is_outlived(stack, agent):
    rest, realtime = await greeted(agent), agent.realtime()
    async with running(realtime.run(), agent.session.run()):
        await wait_until(lambda: realtime.healthy)
        await hears(agent, realtime)
        await asyncio.to_thread(stack.stop_database)
        with pytest.raises(Unreachable):
            await rest.beat([], AgentState(), ["a"])
        await asyncio.to_thread(stack.start_database)

        async def answered() -> bool:
            with contextlib.suppress(Unreachable):
                await rest.beat([], AgentState(), ["a"])
                return True
            return False

        await wait_until(answered, timeout=30)

        async def heard() -> bool:
            with contextlib.suppress(TimeoutError):
                await hears(agent, realtime)
                return True
            return False

        await wait_until(heard, timeout=30)


async def test_thirty_times_asleep_and_awake_leak_neither_tasks_nor_files(agent):
    await greeted(agent)
    realtime, process = agent.realtime(), psutil.Process()
    async with running(realtime.run(), agent.session.run()):
        await wait_until(lambda: realtime.healthy, 45)
        tasks, files = len(asyncio.all_tasks()), process.num_fds()
        await asyncio.wait_for(wake_of(realtime, WakeKind.RESUBSCRIBED), 45)
        for _ in range(30):
            realtime.rebuild("the machine slept")
            await asyncio.wait_for(wake_of(realtime, WakeKind.RESUBSCRIBED), 45)
        await hears(agent, realtime)
        await wait_until(lambda: len(asyncio.all_tasks()) <= tasks, 45)
        await wait_until(lambda: process.num_fds() <= files + 2, 45)
