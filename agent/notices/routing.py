"""Who is told of a notice, and not before when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from agent.model import (
    Channel,
    Delivery,
    DeliveryState,
    Job,
    Notice,
    NoticeType,
    NotifyRules,
    QuietHours,
    Severity,
)

_JOB = "job:"
GOOD_NEWS = {NoticeType.JOB_RECOVERED: NoticeType.JOB_FAILED, NoticeType.AGENT_ONLINE: NoticeType.AGENT_OFFLINE}
"""What each takes back: it goes wherever the bad news went."""


def job_of(notice: Notice) -> str | None:
    """Id of the job that it is about."""
    return notice.subject.removeprefix(_JOB) if notice.subject.startswith(_JOB) else None


def route(
    notice: Notice, job: Job | None, rules: NotifyRules, now: datetime, *, snoozed: bool
) -> Mapping[str, Delivery]:
    """By channel: when it is to go out, or that it is snoozed."""
    found: dict[str, Delivery] = {}
    for channel in rules.channels:
        if not takes(channel, notice, job):
            continue
        if snoozed:
            found[channel.name] = Delivery(state=DeliveryState.SNOOZED)
            continue
        quiet = channel.quiet_hours
        held = None if quiet is None or notice.severity is Severity.CRITICAL else quiet_until(quiet, now)
        found[channel.name] = Delivery(state=DeliveryState.WAITING, due_at=held or now)
    return found


def takes(channel: Channel, notice: Notice, job: Job | None) -> bool:
    """Whether the channel is for such notices. Each filter that is given has to hold."""
    if channel.email and notice.severity is Severity.CRITICAL:
        return True
    if channel.types and not {notice.type, GOOD_NEWS.get(notice.type)} & channel.types:
        return False
    if weight(notice, job).rank < channel.min_severity.rank:
        return False
    name = job_of(notice)
    if channel.jobs and (name is None or not any(fnmatchcase(name, pattern) for pattern in channel.jobs)):
        return False
    return not channel.tags or bool(job and channel.tags & set(job.tags))


def weight(notice: Notice, job: Job | None) -> Severity:
    """By what `min_severity` judges it: good news weighs as much as the bad news that it takes back."""
    if notice.type is NoticeType.JOB_RECOVERED:
        return job.severity if job else Severity.WARNING
    if notice.type is NoticeType.AGENT_ONLINE:
        return Severity.CRITICAL
    return notice.severity


def quiet_until(quiet: QuietHours, now: datetime) -> datetime | None:
    """When the quiet hours end that `now` lies in; None where it lies in none."""
    zone = ZoneInfo(quiet.timezone)
    local = now.astimezone(zone)
    for days in (-1, 0):
        day = local.date() + timedelta(days=days)
        begin = datetime.combine(day, quiet.begin, zone)
        over_midnight = quiet.end <= quiet.begin
        end = datetime.combine(day + timedelta(days=over_midnight), quiet.end, zone)
        if begin.astimezone(UTC) <= now < end.astimezone(UTC):
            return end.astimezone(UTC)
    return None
