"""Each measure runs with real parts and yields the keys that others read; what its figures are does not matter here."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from bench import drain, idle, mirror, pickup, scheduler, steady
from bench.figures import Effort
from bench.ground import Ground

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

QUICK = Effort(quick=True)


async def test_each_measure_runs_and_yields_its_keys() -> None:
    async with Ground() as ground, asyncio.TaskGroup() as tasks:
        measures = (pickup, drain, mirror, idle, steady)
        few = {drain: 20, steady: 20}
        running = {
            each: tasks.create_task(each.measure(ground, dataclasses.replace(QUICK, count=few.get(each))))
            for each in measures
        }
        running[scheduler] = tasks.create_task(scheduler.measure(QUICK))
    measured: dict[str, Any] = {each.__name__.removeprefix("bench."): task.result() for each, task in running.items()}

    for contender in ("ours", "ours_polling", "poller_10s", "procrastinate", "floor"):
        assert 0 < measured["pickup"][contender]["p50_ms"] <= measured["pickup"][contender]["p95_ms"]
    for contender in ("ours", "procrastinate", "queue_floor", "spawn_floor"):
        assert measured["drain"][contender]["per_s"] > 0
    assert measured["drain"]["ours"]["cpu_agent_ms"] > 0
    assert 0 < measured["drain"]["shared"]["2_agents"]["smallest_share"] <= 1
    for contender in ("ours", "apscheduler", "apscheduler_sqlite", "heap"):
        assert 0 < measured["scheduler"][contender]["p50_ms"] <= measured["scheduler"][contender]["p99_ms"]
        assert measured["scheduler"]["scale"][contender]["100"]["ready_s"] >= 0
    (size,) = [key for key in measured["mirror"] if key.endswith("_jobs")]
    assert measured["mirror"][size]["first"]["bytes"] > measured["mirror"][size]["changed"]["bytes"] > 0
    assert measured["mirror"][size]["changed"]["rows"] == 1
    assert {"rss_mib", "cpu_pct", "requests_per_min", "import_s", "first_claim_s"} <= measured["idle"].keys()
    assert measured["idle"]["realtime"]["messages_a_month"] > 0
    assert measured["steady"]["at_the_end"]["descriptors"] > 0
    assert all(len(figures["goals"]) for name, figures in measured.items() if name != "scheduler")
