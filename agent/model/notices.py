"""Notices: what people are told when something changes its state, and how far it got.

A notice is a row of `cron_notifications`; who is told besides (channels, quiet hours) is the YAML's `notify:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from uuid import UUID

from agent.model.runs import LocalRun
from agent.model.severity import Severity
from agent.model.value import Json, Value


class NoticeType(StrEnum):
    """The values of `cron_notifications.type`."""

    INTEGRATION_WARNING = "integration_warning"
    INTEGRATION_RATE_LIMIT = "integration_rate_limit"
    INTEGRATION_DISCONNECTED = "integration_disconnected"
    JOB_FAILED = "job_failed"
    JOB_RECOVERED = "job_recovered"
    JOB_MISSED = "job_missed"
    AGENT_OFFLINE = "agent_offline"
    AGENT_ONLINE = "agent_online"
    CONFIG_ERROR = "config_error"


@dataclass(frozen=True, kw_only=True)
class Shared(Value):
    """Of a job that several agents share: what the project's list needs to decide whether a notice of it is news."""

    still: bool = False
    """It is no news on this box, which may not know what others have run since: told only where the list takes it."""
    ended_at: datetime | None = None
    """Of the run that it is about: what was well afterwards makes it old."""
    realert_every_s: float | None = None
    slots: tuple[datetime, ...] = ()
    """That were missed here; another agent may have run them."""
    for_others: bool = False
    """No channel here takes it: whichever agent has one brings it out."""
    told: bool = False
    """People here have heard it already, for Supabase did not answer: they want to hear of its end as well."""


@dataclass(frozen=True, kw_only=True)
class Notice(Value):
    """One change of state, said once."""

    id: UUID
    type: NoticeType
    severity: Severity
    title: str
    body: str
    """Redacted text of several lines."""
    subject: str
    """`job:ID`, `connection:ID` or `agent:ID`: what is snoozed, and what a later notice is about again."""
    at: datetime
    """When it happened."""
    dedupe_key: str
    """The same change of state, whoever says it and how often."""
    shared: Shared | None = None
    """None: no other agent runs what it is about."""


class NoticeVerdict(StrEnum):
    """What `cron_notify` made of a notice."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    SNOOZED = "snoozed"
    """It is in the list; nobody is to be disturbed."""
    TAKEN = "taken"
    """Of a shared job: the project knows already, or another agent brings it out."""


@dataclass(frozen=True, kw_only=True)
class WaitingNotice(Value):
    """A notice in the project's list that waits for an agent with a channel for it."""

    id: UUID
    type: NoticeType
    severity: Severity
    subject: str


class DeliveryState(StrEnum):
    """How a notice and a channel stand with each other. All but WAITING are final."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    """The channel did not take it, however often it was tried."""
    SNOOZED = "snoozed"
    SUPERSEDED = "superseded"
    """Before it could be sent, the opposite had become true, or another agent had said it."""
    EXPIRED = "expired"
    """It could not be sent while it was news."""


@dataclass(frozen=True, kw_only=True)
class Delivery(Value):
    """One notice on one channel; `cron_notifications.deliveries` shows it."""

    state: DeliveryState
    attempts: int = 0
    due_at: datetime | None = None
    """Of a waiting one: not before (quiet hours, the next try)."""
    at: datetime | None = None
    """Of the last attempt."""
    error: str | None = None
    """Why the last attempt failed; redacted."""


@dataclass(frozen=True, kw_only=True)
class FiledNotice(Value):
    """A notice in the box's memory, until everybody has been told."""

    seq: int
    notice: Notice
    verdict: NoticeVerdict | None = None
    """None: Supabase has not been told yet."""
    routed: bool = False
    """Its channels have been chosen."""
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    """By name of the channel."""
    shown: bool = False
    """Supabase has these deliveries."""

    @property
    def only_asks(self) -> bool:
        """Nobody is told of it unless the project's list says that it is news."""
        return self.verdict is None and self.notice.shared is not None and self.notice.shared.still


@dataclass(frozen=True, kw_only=True)
class EndedRun(Value):
    """A run that came to its end since the notices looked last."""

    seq: int
    run: LocalRun
    final: bool
    """False: another attempt is planned."""


@dataclass(frozen=True, kw_only=True)
class QuietHours(Value):
    """From `begin` to `end` of the wall clock in `timezone`, over midnight where `end` is earlier."""

    begin: time
    end: time
    timezone: str


@dataclass(frozen=True, kw_only=True)
class Channel(Value):
    """Somewhere people are told. An empty filter lets everything pass."""

    name: str
    url: str = field(repr=False)
    """An apprise URL: a secret as a whole."""
    email: bool = False
    """Critical notices go there whatever the filters say."""
    min_severity: Severity = Severity.INFO
    types: frozenset[NoticeType] = frozenset()
    jobs: tuple[str, ...] = ()
    """Patterns of job ids, as in a shell."""
    tags: frozenset[str] = frozenset()
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, kw_only=True)
class NotifyRules(Value):
    """The YAML's `notify:`."""

    channels: tuple[Channel, ...] = ()
    realert_every_s: float | None = None
    """What still fails is said again after so long; None: never."""
    ping: str | None = field(default=None, repr=False)
    """Told as long as this agent lives."""
    ping_every_s: float = 60.0


DeliveriesJson = Mapping[str, Mapping[str, Json]]
"""As `cron_notifications.deliveries` has them: channel → state, attempts, at, error."""
