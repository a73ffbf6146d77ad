"""Watchmen elsewhere: told at once, a few times at most, and never later."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agent.model import NotifyRules, PingUrls, RunStatus, Trigger
from agent.notices.pings import FIRST_AGAIN_S, TRIES, Pings
from tests.support.clock import VirtualClock, settle
from tests.support.fake_stages import FakeJobs, a_job
from tests.support.reports import a_report

HC = PingUrls(start="https://hc/u/start", success="https://hc/u", failure="https://hc/u/fail?a=b")


@dataclass
class FakePinger:
    """`agent.ports.Pinger`; deaf for the first so many."""

    deaf: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ping(self, url: str, body: str) -> str | None:
        self.asked.append((url, body))
        self.deaf -= 1
        return "nobody there" if self.deaf >= 0 else None


def pings_of(pinger: FakePinger, clock: VirtualClock, rules: NotifyRules | None = None, job=None) -> Pings:
    return Pings(pinger, FakeJobs(job or a_job("a", ping=HC)), lambda: rules or NotifyRules(), clock)


async def test_a_run_pings_when_it_begins_and_how_it_ends() -> None:
    pinger = FakePinger()
    pings = pings_of(pinger, VirtualClock())
    start = a_report(status=RunStatus.RUNNING)
    pings.on_report(start, final=True)
    pings.on_report(a_report(run_id=start.run_id, output="42 files"), final=True)
    pings.on_report(a_report(run_id=start.run_id, status=RunStatus.ERROR, error="Exit 1.", output="no"), final=True)
    await settle()
    assert pinger.asked == [
        (f"https://hc/u/start?rid={start.run_id}", ""),
        (f"https://hc/u?rid={start.run_id}", "42 files"),
        (f"https://hc/u/fail?a=b&rid={start.run_id}", "Exit 1.\nno"),
    ]


async def test_the_end_is_told_after_the_start_however_quick_the_job_is() -> None:
    pinger, clock = FakePinger(deaf=1), VirtualClock()
    pings, start = pings_of(pinger, clock), a_report(status=RunStatus.RUNNING)
    pings.on_report(start, final=True)
    pings.on_report(a_report(run_id=start.run_id), final=True)
    await settle()
    assert len(pinger.asked) == 1
    await clock.advance(FIRST_AGAIN_S)
    assert [url.partition("?")[0] for url, _ in pinger.asked] == [HC.start, HC.start, HC.success]


async def test_what_is_tried_again_what_did_not_run_and_what_was_run_by_hand_pings_nobody() -> None:
    pinger = FakePinger()
    pings = pings_of(pinger, VirtualClock())
    pings.on_report(a_report(status=RunStatus.ERROR), final=False)
    pings.on_report(a_report(status=RunStatus.MISSED), final=True)
    pings.on_report(a_report(trigger=Trigger.EXEC), final=True)
    pings.on_report(a_report(job_id="gone"), final=True)
    await settle()
    assert pinger.asked == []


async def test_a_ping_that_is_not_heard_is_tried_again_a_few_times_and_then_forgotten() -> None:
    pinger, clock = FakePinger(deaf=2), VirtualClock()
    pings_of(pinger, clock).on_report(a_report(), final=True)
    await settle()
    assert len(pinger.asked) == 1
    await clock.advance(3 * FIRST_AGAIN_S)
    assert len(pinger.asked) == 3
    await clock.advance(3600)
    assert len(pinger.asked) == 3
    pinger.deaf = 100
    pings_of(pinger, clock).on_report(a_report(), final=True)
    await clock.advance(3600)
    assert len(pinger.asked) == 3 + TRIES


async def test_the_agents_pulse_goes_on_and_follows_the_configuration() -> None:
    pinger, clock = FakePinger(deaf=1), VirtualClock()
    rules = NotifyRules(ping="https://hc/agent", ping_every_s=60)
    pings = Pings(pinger, FakeJobs(), lambda: rules, clock)
    task = asyncio.create_task(pings.run())
    await clock.advance(119)
    assert [url for url, _ in pinger.asked] == ["https://hc/agent"] * 2
    rules = NotifyRules(ping="https://hc/other", ping_every_s=60)
    pings.on_reload()
    await settle()
    assert pinger.asked[-1] == ("https://hc/other", "")
    task.cancel()
    await pings.close(1.0)
