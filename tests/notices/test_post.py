"""From the end of a run to the people, over a real journal: filed once, told, delivered, retried, shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import time
from pathlib import Path
from uuid import uuid4

import pytest

from agent.adapters.sqlite import Journal
from agent.model import (
    Alert,
    Change,
    Channel,
    DeliveryState,
    FailureKind,
    Notice,
    NoticeType,
    NotifyRules,
    QuietHours,
    RunStatus,
    Severity,
    Standing,
    Trigger,
)
from agent.notices.desk import MENDING_S
from agent.notices.post import PATIENCE_S
from agent.notices.progress import FIRST_AGAIN_S, NEWS_FOR_S
from tests.notices.office import PHONE, Office
from tests.support.clock import VirtualClock
from tests.support.fake_stages import a_job
from tests.support.reports import SLOT, a_plan, a_report


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = VirtualClock()
    journal = await Journal.open(tmp_path / "state" / "journal.sqlite", clock)
    yield Office(journal, clock)
    await journal.close()


async def test_a_failure_is_listed_sent_and_shown_once(office: Office) -> None:
    await office.ran(error="no s3cret-value")
    await office.pass_by()
    assert office.courier.sent == [("ntfy://phone", "A failed")]
    assert office.states() == {"A failed": {"mac/phone": "sent"}}
    (row,) = office.list.rows.values()
    assert "no ***" in row.body
    await office.ran()
    await office.pass_by(60)
    await office.ran(RunStatus.OK)
    await office.pass_by(60)
    assert office.titles == ["A failed", "A works again"]
    assert await office.journal.notices.filed() == ()


async def test_what_happened_before_notices_were_known_is_never_said(office: Office) -> None:
    await office.ran(RunStatus.OK)
    await office.ran(trigger=Trigger.EXEC)
    await office.pass_by()
    assert await office.journal.notices.standings() == {}
    assert office.list.rows == {}


async def test_a_good_end_of_a_healthy_job_costs_no_row(office: Office) -> None:
    await office.ran(RunStatus.OK)
    assert await office.journal.notices.ended(10) == ()


async def test_an_attempt_with_another_one_planned_is_not_said(office: Office) -> None:
    await office.journal.record(a_report(status=RunStatus.ERROR, attempt=1), retry=a_plan(attempt=2))
    await office.journal.record(a_report(status=RunStatus.ERROR, retry_in_s=30.0, job_id="b"))
    await office.pass_by()
    assert office.list.rows == {}


async def test_slots_that_a_catch_up_makes_good_are_not_said(office: Office) -> None:
    missed = {"status": RunStatus.MISSED, "trigger": Trigger.SCHEDULE, "scheduled_for": SLOT, "reason": "asleep"}
    await office.journal.decide(
        cursors={},
        planned=[a_plan(job_id="a", trigger=Trigger.CATCH_UP)],
        reports=[a_report(job_id="a", **missed), a_report(job_id="b", **missed)],
    )
    await office.pass_by()
    assert office.titles == ["B did not run"]


async def test_a_crash_between_the_steps_loses_nothing_and_doubles_nothing(office: Office) -> None:
    await office.ran()
    office.open()
    await office.desk.look()
    office.open()
    office.list.forgets_to_answer = True
    await office.pass_by()
    assert office.titles == []
    office.open()
    await office.pass_by(1)
    await office.pass_by(1)
    assert office.titles == ["A failed"]
    assert len(office.list.rows) == 1


async def test_a_snoozed_subject_is_listed_and_disturbs_nobody(office: Office) -> None:
    office.list.snoozed = {"job:a"}
    await office.ran()
    await office.ran(job_id="b")
    await office.pass_by()
    assert office.titles == ["B failed"]
    assert office.states()["A failed"] == {"mac/phone": "snoozed"}


async def test_without_supabase_the_channels_do_not_wait_long_and_the_list_learns_later(office: Office) -> None:
    office.gate.accepted = False
    await office.ran()
    await office.pass_by()
    assert office.titles == []
    await office.pass_by(PATIENCE_S)
    assert office.titles == ["A failed"]
    office.gate.accepted = True
    await office.pass_by(1)
    assert office.states() == {"A failed": {"mac/phone": "sent"}}
    assert office.titles == ["A failed"]


async def test_a_channel_that_is_down_is_tried_again_more_and_more_rarely_and_the_others_are_not_held_up(
    office: Office,
) -> None:
    office.rules = NotifyRules(channels=(PHONE, Channel(name="mail", url="mailto://m", email=True)))
    office.courier.broken = {"mailto://m": "no route to s3cret-value"}
    await office.ran()
    await office.pass_by()
    assert office.courier.sent == [("ntfy://phone", "A failed")]
    (shown,) = office.list.deliveries.values()
    assert (shown["mac/mail"]["state"], shown["mac/mail"]["error"]) == ("waiting", "no route to ***")
    await office.pass_by(FIRST_AGAIN_S - 1)
    assert shown["mac/mail"]["attempts"] == 1
    await office.pass_by(1)
    assert office.list.deliveries[next(iter(office.list.rows))]["mac/mail"]["attempts"] == 2
    office.courier.broken = {}
    await office.pass_by(2 * FIRST_AGAIN_S)
    assert office.courier.sent[1:] == [("mailto://m", "A failed")]
    assert office.states() == {"A failed": {"mac/phone": "sent", "mac/mail": "sent"}}


async def test_a_channel_that_is_down_is_asked_once_and_its_other_mail_waits_along_the_worst_news_first(
    office: Office,
) -> None:
    office.jobs.reload(a_job("a"), a_job("b", severity=Severity.CRITICAL))
    office.courier.broken = {"ntfy://phone": "down"}
    await office.ran(job_id="a")
    await office.ran(job_id="b")
    await office.pass_by()
    attempts = {office.list.rows[key].title: each["mac/phone"] for key, each in office.list.deliveries.items()}
    assert {title: each["attempts"] for title, each in attempts.items()} == {"A failed": 0, "B failed": 1}
    assert attempts["A failed"]["due_at"] == attempts["B failed"]["due_at"]
    office.courier.broken = {}
    await office.pass_by(FIRST_AGAIN_S)
    assert office.titles == ["B failed", "A failed"]


async def test_mail_that_waits_along_does_not_wait_for_ever(office: Office) -> None:
    office.courier.broken = {"ntfy://phone": "down"}
    await office.ran(job_id="a")
    await office.ran(job_id="b")
    for _ in range(30):
        await office.pass_by(3600)
    assert office.states() == {"A failed": {"mac/phone": "failed"}, "B failed": {"mac/phone": "failed"}}
    assert sorted(each["mac/phone"]["attempts"] > 0 for each in office.list.deliveries.values()) == [False, True]
    assert await office.journal.notices.filed() == ()


async def test_what_is_no_news_any_more_is_given_up(office: Office) -> None:
    office.courier.broken = {"ntfy://phone": "down"}
    await office.ran()
    await office.pass_by()
    office.courier.broken = {}
    await office.pass_by(NEWS_FOR_S + 1)
    assert office.titles == []
    assert office.states() == {"A failed": {"mac/phone": "failed"}}
    assert await office.journal.notices.filed() == ()


async def test_at_night_it_waits_and_what_is_over_by_the_morning_is_not_said_at_all(office: Office) -> None:
    night = QuietHours(begin=time(11), end=time(14), timezone="UTC")
    office.rules = NotifyRules(channels=(Channel(name="phone", url="ntfy://phone", quiet_hours=night),))
    await office.ran()
    await office.ran(job_id="b")
    await office.pass_by()
    await office.ran(RunStatus.OK)
    await office.pass_by(60)
    assert office.titles == []
    await office.pass_by(2 * 3600)
    assert office.titles == ["B failed"]
    assert office.states()["A failed"] == {"mac/phone": "superseded"}
    assert office.states()["A works again"] == {"mac/phone": "superseded"}


async def test_a_critical_one_goes_to_email_as_well_and_at_once(office: Office) -> None:
    office.jobs.reload(a_job("a", severity=Severity.CRITICAL))
    night = QuietHours(begin=time(11), end=time(14), timezone="UTC")
    mail = Channel(name="mail", url="mailto://m", email=True, jobs=("other",), quiet_hours=night)
    office.rules = NotifyRules(channels=(PHONE, mail))
    await office.ran()
    await office.pass_by()
    assert {url for url, _ in office.courier.sent} == {"ntfy://phone", "mailto://m"}


async def test_a_channel_that_left_the_yaml_is_not_waited_for(office: Office) -> None:
    office.courier.broken = {"ntfy://phone": "down"}
    await office.ran()
    await office.pass_by()
    office.rules = NotifyRules()
    await office.pass_by(FIRST_AGAIN_S)
    assert office.states() == {"A failed": {"mac/phone": DeliveryState.EXPIRED}}


async def test_a_broken_configuration_is_said_once_when_it_stays_broken(office: Office) -> None:
    office.config_error = "config.yaml:3: jobs.a: unknown key"
    await office.pass_by()
    office.config_error = None
    await office.pass_by(MENDING_S)
    office.config_error = "config.yaml:4: jobs.a: unknown key"
    await office.pass_by()
    assert office.titles == []
    await office.pass_by(MENDING_S)
    await office.pass_by(MENDING_S)
    office.open()
    await office.pass_by(MENDING_S)
    await office.pass_by(MENDING_S)
    assert office.titles == ["The configuration of Mac has a mistake"]
    office.config_error = None
    await office.pass_by(1)
    office.config_error = "again"
    await office.pass_by(1)
    await office.pass_by(MENDING_S)
    assert len(office.titles) == 2


def a_change(alert: Alert | None, **values) -> Change:
    standing = Standing(connection_id="drive", provider="google", account="me@example.com", **values)
    return Change(before=standing, after=standing, at=VirtualClock().now(), alert=alert)


async def test_what_the_keeper_alerts_of_a_connection_is_said_once_until_it_works_again(office: Office) -> None:
    office.desk.on_change(a_change(None))
    office.desk.on_change(a_change(Alert.WARNING, consecutive_failures=2, last_failure_kind=FailureKind.PERMANENT))
    office.desk.on_change(a_change(Alert.RATE_LIMIT, consecutive_transient_failures=5))
    office.desk.on_change(a_change(Alert.DISCONNECTED, needs_reauth=True, last_refresh_error="invalid_grant"))
    office.desk.on_change(a_change(Alert.DISCONNECTED, needs_reauth=True))
    office.desk.on_change(a_change(Alert.RECONNECTED))
    await office.pass_by()
    rows = {row.type: row for row in office.list.rows.values()}
    assert list(rows) == [
        NoticeType.INTEGRATION_WARNING,
        NoticeType.INTEGRATION_RATE_LIMIT,
        NoticeType.INTEGRATION_DISCONNECTED,
    ]
    gone = rows[NoticeType.INTEGRATION_DISCONNECTED]
    assert (gone.severity, gone.subject) == (Severity.CRITICAL, "connection:drive")
    assert "cronmirror connections login drive" in gone.body
    assert "invalid_grant" in gone.body
    sent = len(office.titles)
    office.desk.on_change(a_change(Alert.DISCONNECTED, needs_reauth=True))
    await office.pass_by()
    assert len(office.titles) == sent
    office.desk.on_change(a_change(Alert.DISCONNECTED, last_refresh_at=SLOT))
    await office.pass_by()
    assert len(office.list.rows) == 4


async def test_a_connection_that_ended_in_another_process_or_before_a_crash_is_said_all_the_same(
    office: Office,
) -> None:
    refused = {"last_failure_kind": FailureKind.PERMANENT, "consecutive_failures": 1}
    office.standings = (
        Standing(connection_id="drive", provider="google", needs_reauth=True, last_refresh_error="gone", **refused),
        Standing(connection_id="new", provider="google", needs_reauth=True),
        Standing(connection_id="shaky", provider="google", **refused),
    )
    await office.pass_by()
    office.desk.on_change(a_change(Alert.DISCONNECTED, needs_reauth=True))
    office.open()
    await office.pass_by(60)
    assert office.titles == ["drive needs a new sign-in"]


def offline(agent_id: str) -> Notice:
    return Notice(
        id=uuid4(),
        type=NoticeType.AGENT_OFFLINE,
        severity=Severity.CRITICAL,
        title=f"{agent_id} is offline",
        body="",
        subject=f"agent:{agent_id}",
        at=VirtualClock().now(),
        dedupe_key=f"agent_offline:{agent_id}:1",
    )


async def test_that_another_agent_is_offline_is_claimed_and_sent_by_whoever_has_a_channel_for_it(
    office: Office,
) -> None:
    office.list.waiting = [offline("nas"), offline("mac")]
    office.list.rows = {each.id: each for each in office.list.waiting}
    office.rules = NotifyRules(channels=(Channel(name="jobs", url="x://", jobs=("*",)),))
    office.post.on_waiting(office.list.beat())
    await office.pass_by()
    assert len(office.list.waiting) == 2
    office.rules = NotifyRules(channels=(PHONE,))
    office.post.on_waiting(office.list.beat())
    await office.pass_by()
    assert office.titles == ["nas is offline"]
    assert office.states() == {"nas is offline": {"mac/phone": "sent"}}
    assert [each.subject for each in office.list.waiting] == ["agent:mac"]
    await office.pass_by(60)
    assert office.titles == ["nas is offline"]
