"""Two agents that share a job, each with its own journal and channels, over one list of the project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import time, timedelta
from pathlib import Path

import pytest

from agent.adapters.sqlite import Journal
from agent.model import Channel, NoticeType, NotifyRules, Placement, QuietHours, RunStatus, Trigger
from agent.notices.post import PATIENCE_S
from tests.notices.office import Office
from tests.support.clock import VirtualClock
from tests.support.fake_stages import FakeJobs, a_job
from tests.support.notices import FakeList
from tests.support.reports import SLOT

FAILED, WORKS = "A failed", "A works again"
SHARED = a_job("a", placement=Placement.ANY)


@pytest.fixture
async def offices(tmp_path: Path) -> AsyncIterator[tuple[Office, Office]]:
    clock, project = VirtualClock(), FakeList()
    journals = [await Journal.open(tmp_path / name / "journal.sqlite", clock) for name in ("mac", "nas")]
    yield tuple(
        Office(journal, clock, jobs=FakeJobs(SHARED, a_job("b")), list=project, agent_id=name)
        for journal, name in zip(journals, ("mac", "nas"), strict=True)
    )
    for journal in journals:
        await journal.close()


async def test_one_message_for_the_failure_and_one_for_its_end(offices: tuple[Office, Office]) -> None:
    mac, nas = offices
    for office in (mac, nas, mac, nas):
        await office.ran()
        await office.pass_by(60)
    await mac.ran(RunStatus.OK)
    await mac.pass_by(60)
    await nas.ran(RunStatus.OK)
    await nas.pass_by(60)
    assert mac.titles + nas.titles == [FAILED, WORKS]
    assert [len(await office.journal.notices.filed()) for office in offices] == [0, 0]


async def test_what_was_well_on_another_agent_meanwhile_and_fails_again_here_is_said_again(
    offices: tuple[Office, Office],
) -> None:
    mac, _ = offices
    await mac.ran()
    await mac.pass_by(60)
    mac.list.last["job:a"] = NoticeType.JOB_RECOVERED
    await mac.ran()
    await mac.pass_by(60)
    await mac.ran()
    await mac.pass_by(60)
    assert mac.titles == [FAILED, FAILED]


async def test_an_agent_without_a_channel_leaves_it_to_one_that_has(offices: tuple[Office, Office]) -> None:
    mac, nas = offices
    mac.rules = NotifyRules(channels=(Channel(name="mail", url="mailto://m", jobs=("other",)),))
    await mac.ran()
    await mac.pass_by(60)
    mac.post.on_waiting(mac.list.beat())
    await mac.pass_by()
    assert len(mac.list.waiting) == 1
    nas.post.on_waiting(nas.list.beat())
    await nas.pass_by()
    assert (mac.titles, nas.titles) == ([], [FAILED])
    assert nas.states() == {FAILED: {"nas/phone": "sent"}}


async def test_without_supabase_each_agent_says_it_once_and_the_list_hears_the_last_word(
    offices: tuple[Office, Office],
) -> None:
    mac, nas = offices
    for office in offices:
        office.gate.accepted = False
    for _ in range(3):
        await mac.ran()
        await mac.pass_by(PATIENCE_S)
        await mac.pass_by(PATIENCE_S)
    await nas.ran()
    await nas.pass_by()
    await nas.pass_by(PATIENCE_S)
    assert mac.titles + nas.titles == [FAILED, FAILED]
    assert len(await mac.journal.notices.filed()) == 2, "the news, and the last that asks whether it is one"
    for office in offices:
        office.gate.accepted = True
        await office.pass_by(1)
    (row,) = mac.list.rows.values()
    assert row.shared is not None
    assert row.shared.told, "people want to hear of its end, however old it is by now"
    assert mac.titles + nas.titles == [FAILED, FAILED]
    assert len(mac.list.rows) == 1
    assert [len(await office.journal.notices.filed()) for office in offices] == [0, 0]


async def test_what_waits_for_the_morning_is_not_said_where_another_agent_has_said_it(
    offices: tuple[Office, Office],
) -> None:
    mac, nas = offices
    night = QuietHours(begin=time(11), end=time(14), timezone="UTC")
    mac.rules = NotifyRules(channels=(Channel(name="phone", url="ntfy://phone", quiet_hours=night),))
    mac.gate.accepted = False
    await mac.ran()
    await mac.pass_by(PATIENCE_S)
    await nas.ran()
    await nas.pass_by(60)
    mac.gate.accepted = True
    await mac.pass_by(60)
    await mac.pass_by(3 * 3600)
    assert (mac.titles, nas.titles) == ([], [FAILED])


async def test_a_restart_forgets_nothing_of_what_the_list_is_asked(offices: tuple[Office, Office]) -> None:
    mac, _ = offices
    await mac.ran(RunStatus.MISSED, trigger=Trigger.SCHEDULE, scheduled_for=SLOT, reason="asleep")
    await mac.desk.look()
    mac.open()
    (filed,) = await mac.journal.notices.filed()
    assert filed.notice.shared is not None
    assert filed.notice.shared.slots == (SLOT,)


async def test_slots_that_were_missed_again_and_again_are_asked_about_and_said_once(
    offices: tuple[Office, Office],
) -> None:
    mac, nas = offices
    for office in (mac, mac, nas):
        slot = SLOT + timedelta(seconds=office.clock.monotonic())
        await office.ran(RunStatus.MISSED, trigger=Trigger.SCHEDULE, scheduled_for=slot, reason="asleep")
        await office.pass_by(60)
    assert mac.titles + nas.titles == ["A did not run"]


async def test_a_job_of_its_own_is_no_business_of_the_other_agents(offices: tuple[Office, Office]) -> None:
    for office in offices:
        for _ in range(2):
            await office.ran(job_id="b")
            await office.pass_by(60)
        assert office.titles == ["B failed"]
