"""`notify:` and what jobs say about it: what becomes of every key, what is refused, what is a secret."""

from __future__ import annotations

from datetime import time

import pytest

from agent.model import NoticeType, PingUrls, QuietHours, Severity
from tests.support.config_texts import config_of, job_of, problems_of


def rules_of(text: str, **variables: str):
    return config_of(f"project: p\nnotify: {text}\njobs: {{j: {{run: [x], tags: [media]}}}}", **variables).notify


def test_a_channel_says_everything_it_can() -> None:
    rules = rules_of(
        "{channels: {phone: {url: 'ntfy://t', min_severity: warning, types: [job_failed], jobs: ['a*'], tags: [media],"
        " quiet_hours: '23:00-06:30', email: true}}, timezone: Asia/Tokyo, realert_every: 24h,"
        " ping: 'https://hc-ping.com/x', ping_every: 5m}"
    )
    (channel,) = rules.channels
    assert (channel.name, channel.url, channel.email) == ("phone", "ntfy://t", True)
    assert (channel.min_severity, channel.types) == (Severity.WARNING, {NoticeType.JOB_FAILED})
    assert (channel.jobs, channel.tags) == (("a*",), {"media"})
    assert channel.quiet_hours == QuietHours(begin=time(23), end=time(6, 30), timezone="Asia/Tokyo")
    assert (rules.realert_every_s, rules.ping, rules.ping_every_s) == (86_400, "https://hc-ping.com/x", 300)


def test_quiet_hours_are_inherited_overridden_and_switched_off_and_stand_in_the_persons_zone() -> None:
    rules = rules_of(
        "{quiet_hours: '22:00-07:00', channels: {a: 'ntfy://t', b: {url: 'ntfy://t', quiet_hours: never}}}"
    )
    assert [channel.quiet_hours for channel in rules.channels] == [
        QuietHours(begin=time(22), end=time(7), timezone="Europe/Paris"),
        None,
    ]


@pytest.mark.parametrize(
    ("url", "email"), [("mailto://u:p@example.com", True), ("MAILTOS://u@example.com", True), ("slack://a/b/c", False)]
)
def test_email_is_known_by_its_scheme(url: str, email: bool) -> None:
    assert rules_of(f"{{channels: {{c: '{url}'}}}}").channels[0].email is email


def test_without_notify_nobody_is_told() -> None:
    assert config_of("project: p\njobs: {}").notify.channels == ()


def test_the_addresses_are_secrets_and_jobs_do_not_inherit_them() -> None:
    config = config_of(
        "project: p\nnotify: {channels: {a: '${NTFY}', b: {url: 'slack://literal-token'}}, ping: '${PULSE}'}\n"
        "jobs: {j: {run: [x], ping: '${WATCH}/abc'}}",
        NTFY="ntfy://topic-1",
        PULSE="https://pulse.example/1",
        WATCH="https://hc-ping.example",
    )
    assert {"ntfy://topic-1", "slack://literal-token", "https://pulse.example/1", "https://hc-ping.example/abc"} <= (
        config.secrets
    )
    assert config.withheld_env == {"NTFY", "PULSE"}
    for secret in config.secrets:
        assert secret not in repr(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{channels: {a: nonsense}}", "notify.channels.a: this value is not an apprise URL; they look like"),
        ("{channels: {a: {types: [job_failed]}}}", "notify.channels.a.url: is missing"),
        ("{channels: {a: {url: 'json://x', types: [job_fails]}}}", "did you mean job_failed?"),
        ("{quiet_hours: 22-7}", "this value is not a span of the clock; write it like 22:00-07:00"),
        ("{quiet_hours: '25:00-07:00'}", "is not a span of the clock"),
        ("{quiet_hours: '07:00-07:00'}", "is not a span of the clock"),
        ("{realert_every: 5}", "is not a duration; try 5s"),
        ("{ping: here}", "notify.ping: this value is not an http(s) URL"),
        ("{chanels: {}}", "did you mean `channels`?"),
    ],
)
def test_what_is_wrong_is_said_without_showing_an_address(text: str, said: str) -> None:
    (problem,) = problems_of(f"project: p\nnotify: {text}\njobs: {{}}")
    assert said in problem


def test_a_tag_that_no_job_has_is_doubted() -> None:
    config = config_of("project: p\nnotify: {channels: {a: {url: 'json://x', tags: [gpu]}}}\njobs: {j: {run: [x]}}")
    assert "no job has the tag gpu" in str(config.warnings[0])


def test_a_jobs_watchman_in_short_and_in_long() -> None:
    assert job_of("{run: [x], ping: 'https://hc-ping.com/u/?create=1'}").ping == PingUrls(
        start="https://hc-ping.com/u/start?create=1",
        success="https://hc-ping.com/u?create=1",
        failure="https://hc-ping.com/u/fail?create=1",
    )
    assert job_of("{run: [x], ping: {failure: 'https://a.co/down'}}").ping == PingUrls(failure="https://a.co/down")
    assert job_of("{run: [x]}").ping == PingUrls()


def test_tolerance_and_severity_of_a_job() -> None:
    job = job_of("{run: [x], severity: critical}")
    assert (job.severity, job.failure_tolerance) == (Severity.CRITICAL, 0)
    config = config_of(
        "project: p\ndefaults: {failure_tolerance: 2}\njobs: {a: {run: [x]}, b: {run: [x], failure_tolerance: 0}}"
    )
    assert [each.failure_tolerance for each in config.jobs] == [2, 0]
