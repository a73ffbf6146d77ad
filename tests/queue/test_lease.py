"""Leases: obeying cancellations, letting go, and staying calm in silence."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from structlog.testing import capture_logs

from agent.model import BeatReply, RunningRun
from agent.queue.lease import LEASE_S, Leases
from tests.support.clock import VirtualClock, settle
from tests.support.fake_stages import FakeRunner


def a_runner(*requests) -> FakeRunner:
    runner = FakeRunner()
    for request in requests:
        run = uuid4()
        runner.active[run] = RunningRun(run_id=run, job_id="a", request_id=request, claims=1)
    return runner


async def test_a_cancelled_request_and_a_lost_one_are_ended_for_their_reason() -> None:
    clock, cancelled, lost, unknown = VirtualClock(), uuid4(), uuid4(), uuid4()
    runner = a_runner(cancelled, lost)
    with capture_logs() as logs:
        Leases(runner, clock).on_beat(
            BeatReply(server_time=clock.now(), cancelled=(cancelled, unknown), lost=(lost, unknown))
        )
    assert runner.cancelled == [(lost, "lost"), (unknown, "lost"), (cancelled, "cancelled"), (unknown, "cancelled")]
    assert [line["request"] for line in logs] == [str(lost), str(cancelled)]


async def test_silence_longer_than_a_lease_is_said_once_and_ends_nothing() -> None:
    clock, request = VirtualClock(), uuid4()
    runner = a_runner(request)
    leases = Leases(runner, clock)
    task = asyncio.ensure_future(leases.run())
    with capture_logs() as logs:
        await clock.advance(LEASE_S)
        assert not logs
        await clock.advance(300)
        assert [line["requests"] for line in logs] == [[str(request)]]
        leases.on_beat(BeatReply(server_time=clock.now()))
        await clock.advance(LEASE_S + 20)
        assert len(logs) == 2
    assert runner.cancelled == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_silence_without_requests_is_nothing_to_speak_of() -> None:
    clock = VirtualClock()
    runner = FakeRunner()
    run = uuid4()
    runner.active[run] = RunningRun(run_id=run, job_id="a")
    task = asyncio.ensure_future(Leases(runner, clock).run())
    with capture_logs() as logs:
        await clock.advance(1000)
        await settle()
    assert not logs
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
