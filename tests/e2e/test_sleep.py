"""A machine that slept, as the wall clock tells it: everything goes on at once, and the outage is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

AT_ONCE_S = 6
"""A look at the clock each second; without it: a beat 15 s, a session 30 s, a schedule 10 s."""


async def test_after_sleep_everything_goes_on_at_once_and_the_outage_is_told(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    agent = start_agent("jobs:\n  half: {every: 30m, run: [echo, half]}\n  hello: {run: [echo, hello]}\n", run=False)
    agent.module, agent.extra_environment = "tests.support.odd_clock", {"ODD_CLOCK_OFFSET": str(offset)}
    agent.start()
    await mirrored(operator, 2, timeout=40)

    offset.write_text(str(4 * 3600))
    await agent.wait_event("the machine was asleep, or its clock was set forward", timeout=AT_ONCE_S)
    await agent.wait_event("realtime is built anew", timeout=AT_ONCE_S)
    await agent.wait_event("slots missed", timeout=AT_ONCE_S)
    await agent.wait_event("realtime is connected", 2)
    assert agent.events("slots missed")[0]["cause"] == "asleep"
    told = await wait_until(lambda: last_outage(operator), 30)
    assert (told["cause"], told["slots_missed"] >= 7) == ("asleep", True)
    (shown,) = await operator.select("cron_agents")
    assert shown["clock_skew_ms"] > 3_600_000
    assert agent.events("this machine's clock is wrong, or Supabase's is")

    ran = len(agent.events("run started"))
    offset.write_text("0")
    await agent.wait_event("the clock was set back", timeout=AT_ONCE_S)
    await agent.wait_event("realtime is connected", 3)
    assert (await ended(operator, (await operator.press_run("hello"))["id"]))["status"] == "done"
    assert [run["job"] for run in agent.events("run started")[ran:]] == ["hello"]
    slots = [run["scheduled_for"] for run in await operator.select("cron_runs", job_id="eq.half")]
    assert len(slots) == len(set(slots))


async def last_outage(operator: Operator) -> dict[str, Any] | None:
    (row,) = await operator.select("cron_agents")
    found: dict[str, Any] | None = row["info"]["last_outage"]
    return found
