"""Which channel hears of what, and when."""

from __future__ import annotations

from datetime import UTC, datetime, time
from uuid import uuid4

import pytest

from agent.model import Channel, DeliveryState, Notice, NoticeType, NotifyRules, QuietHours, Severity
from agent.notices.routing import quiet_until, route, takes
from tests.support.fake_stages import a_job

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NIGHT = QuietHours(begin=time(22), end=time(7), timezone="Europe/Berlin")


def a_notice(kind: NoticeType = NoticeType.JOB_FAILED, severity: Severity = Severity.WARNING, **values) -> Notice:
    given = {"title": "t", "body": "b", "subject": "job:backup-db", "at": NOON, "dedupe_key": str(uuid4())}
    return Notice(id=uuid4(), type=kind, severity=severity, **(given | values))


def a_channel(**values) -> Channel:
    return Channel(**({"name": "c", "url": "json://x"} | values))


JOB = a_job("backup-db", tags=("media", "nightly"))


@pytest.mark.parametrize(
    ("channel", "notice", "heard"),
    [
        ({}, {}, True),
        ({"types": {NoticeType.JOB_FAILED}}, {}, True),
        ({"types": {NoticeType.JOB_MISSED}}, {}, False),
        ({"types": {NoticeType.JOB_FAILED}}, {"kind": NoticeType.JOB_RECOVERED, "severity": Severity.INFO}, True),
        ({"min_severity": Severity.CRITICAL}, {}, False),
        ({"min_severity": Severity.WARNING}, {"kind": NoticeType.JOB_RECOVERED, "severity": Severity.INFO}, True),
        ({"jobs": ("backup-*",)}, {}, True),
        ({"jobs": ("sync-*", "stats")}, {}, False),
        ({"jobs": ("*",)}, {"subject": "agent:mac"}, False),
        ({"tags": {"media"}}, {}, True),
        ({"tags": {"gpu"}}, {}, False),
        ({"jobs": ("backup-*",), "tags": {"gpu"}}, {}, False),
        ({"email": True, "types": {NoticeType.JOB_MISSED}}, {}, False),
        ({"email": True, "types": {NoticeType.JOB_MISSED}}, {"severity": Severity.CRITICAL}, True),
        ({"types": {NoticeType.JOB_MISSED}}, {"severity": Severity.CRITICAL}, False),
    ],
)
def test_every_filter_that_is_given_has_to_hold_and_critical_ones_go_to_email(channel, notice, heard) -> None:
    told = a_notice(**notice)
    job = JOB if told.subject == "job:backup-db" else None
    assert takes(a_channel(**channel), told, job) is heard


def test_good_news_reach_whom_the_bad_news_reached() -> None:
    channel = a_channel(min_severity=Severity.CRITICAL)
    good = a_notice(NoticeType.JOB_RECOVERED, Severity.INFO)
    assert takes(channel, good, a_job("backup-db", severity=Severity.CRITICAL))
    assert not takes(channel, good, a_job("backup-db"))
    assert takes(channel, a_notice(NoticeType.AGENT_ONLINE, Severity.INFO, subject="agent:x"), None)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (datetime(2026, 3, 1, 20, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 1, 21, 0, tzinfo=UTC), datetime(2026, 3, 2, 6, tzinfo=UTC)),
        (datetime(2026, 3, 2, 5, 59, tzinfo=UTC), datetime(2026, 3, 2, 6, tzinfo=UTC)),
        (datetime(2026, 3, 2, 6, 0, tzinfo=UTC), None),
        # The night of the clock change is an hour shorter: 07:00 is 05:00 UTC then.
        (datetime(2026, 3, 29, 4, 30, tzinfo=UTC), datetime(2026, 3, 29, 5, tzinfo=UTC)),
    ],
)
def test_quiet_hours_are_those_of_the_persons_wall_clock(now: datetime, until: datetime | None) -> None:
    assert quiet_until(NIGHT, now) == until


def test_quiet_hours_within_a_day() -> None:
    siesta = QuietHours(begin=time(13), end=time(15), timezone="UTC")
    assert quiet_until(siesta, NOON) is None
    assert quiet_until(siesta, NOON.replace(hour=14)) == NOON.replace(hour=15)


def test_at_night_notices_wait_for_the_morning_and_critical_ones_do_not() -> None:
    rules = NotifyRules(channels=(a_channel(quiet_hours=NIGHT), a_channel(name="loud")))
    now = datetime(2026, 3, 1, 23, tzinfo=UTC)
    usual = route(a_notice(), JOB, rules, now, snoozed=False)
    assert (usual["c"].due_at, usual["loud"].due_at) == (datetime(2026, 3, 2, 6, tzinfo=UTC), now)
    critical = route(a_notice(severity=Severity.CRITICAL), JOB, rules, now, snoozed=False)
    assert critical["c"].due_at == now


def test_what_is_snoozed_disturbs_nobody_and_says_so() -> None:
    found = route(a_notice(), JOB, NotifyRules(channels=(a_channel(),)), NOON, snoozed=True)
    assert {name: each.state for name, each in found.items()} == {"c": DeliveryState.SNOOZED}
