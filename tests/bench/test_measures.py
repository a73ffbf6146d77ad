"""Each measure runs with real parts and yields the keys that others read; what its figures are does not matter here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench import drain, idle, mirror, pickup, realtime, scheduler, steady, throughput
from bench.figures import Effort
from bench.ground import Ground

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("bench"),
    pytest.mark.asyncio(loop_scope="module"),
]

QUICK = Effort(quick=True)
FEW = Effort(quick=True, count=20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground() -> AsyncIterator[Ground]:
    async with Ground() as ground:
        yield ground


async def test_pickup(ground: Ground) -> None:
    measured = await pickup.measure(ground, QUICK)
    for contender in ("ours", "ours_polling", "poller_10s", "procrastinate", "floor"):
        assert 0 < measured[contender]["p50_ms"] <= measured[contender]["p95_ms"]
    assert len(measured["goals"]) == 2


async def test_drain(ground: Ground) -> None:
    measured = await drain.measure(ground, FEW)
    for contender in ("ours", "procrastinate", "queue_floor", "spawn_floor"):
        assert measured[contender]["per_s"] > 0
    assert 0 < measured["shared"]["2_agents"]["smallest_share"] <= 1
    assert len(measured["goals"]) == 3


async def test_mirror(ground: Ground) -> None:
    measured = await mirror.measure(ground, FEW)
    jobs = measured["20_jobs"]
    assert jobs["first"]["bytes"] > jobs["changed"]["bytes"] > 0
    assert jobs["changed"]["rows"] == 1
    assert len(measured["goals"]) == 3


async def test_realtime(ground: Ground) -> None:
    measured = await realtime.measure(ground, QUICK)
    for count in (1, 50):
        assert measured["delay"][f"{count}_subscribers"]["p50_ms"] > 0
    assert (measured["sustained"]["missing"], measured["sustained"]["twice"]) == (0, 0)
    assert len(measured["goals"]) == 3


async def test_idle(ground: Ground) -> None:
    measured = await idle.measure(ground, QUICK)
    assert {"rss_mib", "cpu_pct", "requests_per_min", "import_s", "first_claim_s"} <= measured.keys()
    assert measured["realtime"]["tab_changes_per_run"] > 0
    assert len(measured["goals"]) == 3


async def test_throughput(ground: Ground) -> None:
    measured = await throughput.measure(ground, QUICK)
    for verb in throughput.VERBS:
        for contender in ("ours", "bare", "bare_as_user"):
            figures = measured[verb]["2 connections"][contender]
            assert figures["per_s"] > 0
            assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    assert len(measured["goals"]) == 6


async def test_steady(ground: Ground) -> None:
    measured = await steady.measure(ground, FEW)
    assert measured["at_the_end"]["descriptors"] > 0
    assert len(measured["goals"]) == 2


async def test_scheduler() -> None:
    measured = await scheduler.measure(QUICK)
    for contender in ("ours", "apscheduler", "apscheduler_sqlite", "heap"):
        assert 0 < measured[contender]["p50_ms"] <= measured[contender]["p99_ms"]
        assert measured["scale"][contender]["10"]["ready_s"] >= 0
