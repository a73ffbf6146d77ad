"""Loops that end are never quiet."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from agent.app.tasks import Loops
from agent.cli.boundary import BUG, exit_code


async def _forever() -> None:
    await asyncio.Event().wait()


async def _breaks() -> None:
    raise ZeroDivisionError("division by zero")


async def _returns() -> None:
    return


async def test_a_loop_that_raises_is_told_once_with_its_name_and_cause() -> None:
    loops = Loops()
    with capture_logs() as logs:
        loops.start("heartbeat", _breaks())
        ended = await loops.failed
        loops.start("mirror", _breaks())
        await asyncio.sleep(0)
        await loops.stop()
    assert str(ended) == "the heartbeat loop ended: ZeroDivisionError: division by zero"
    assert isinstance(ended.__cause__, ZeroDivisionError)
    assert "report" in (ended.hint or "")
    assert exit_code(ended) == BUG
    assert [line["task"] for line in logs if line["event"] == "loop ended"] == ["heartbeat", "mirror"]
    assert loops.failed.result() is ended


async def test_a_loop_that_returns_is_as_bad() -> None:
    loops = Loops()
    with capture_logs():
        loops.start("intake", _returns())
        assert str(await loops.failed) == "the intake loop ended: it returned"


async def test_loops_that_are_stopped_by_name_or_all_end_quietly() -> None:
    loops = Loops()
    with capture_logs() as logs:
        for name in ("a", "b", "c"):
            loops.start(name, _forever())
        await loops.stop("a", "nobody")
        assert {task.get_name() for task in asyncio.all_tasks()} >= {"b", "c"}
        await loops.stop()
        assert not {task.get_name() for task in asyncio.all_tasks()} & {"a", "b", "c"}
    assert logs == []
    assert not loops.failed.done()
