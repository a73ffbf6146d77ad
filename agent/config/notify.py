"""`notify:`, and what a job says about it: channels, who hears what, quiet hours, and the watchmen that are pinged."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from agent.config.calls import Url
from agent.config.fields import Checked, Duration, Id, Line, Word, Zone, fault, text_of
from agent.config.part import Part, option
from agent.model import Channel, Json, NoticeType, NotifyRules, PingUrls, QuietHours, Severity

_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_CHANNEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://\S+")
_EMAIL = frozenset(
    {
        "mailto",
        "mailtos",
        "ses",
        "sendgrid",
        "mailgun",
        "sparkpost",
        "smtp2go",
        "azure",
        "o365",
        "outlook",
        "brevo",
        "resend",
        "postmark",
        "sendpulse",
    }
)
"""Schemes of apprise that send e-mail."""
_SEVERITIES = tuple(each.value for each in Severity)
_NEVER = "never"


class HoursSpan(Checked):
    """(begin, end) of the wall clock, from `22:00-07:00`; None from `never`."""

    label: ClassVar[str] = "span of the clock (`22:00-07:00`), or `never`"

    def _parse(self, value: Any) -> tuple[time, time] | None:
        text = text_of(value).strip()
        if text == _NEVER:
            return None
        match = _SPAN.fullmatch(text)
        try:
            begin, end = (time(int(match[at]), int(match[at + 1])) for at in (1, 3)) if match else (None, None)
        except ValueError:
            begin = end = None
        if begin is None or end is None or begin == end:
            raise fault("is not a span of the clock; write it like 22:00-07:00")
        return begin, end


class ChannelUrl(Checked):
    """An apprise URL."""

    label: ClassVar[str] = "apprise URL"

    def _parse(self, value: Any) -> str:
        text = text_of(value).strip()
        if not _CHANNEL.fullmatch(text):
            raise fault("is not an apprise URL; they look like ntfy://topic or mailto://user:password@example.com")
        return text


class ChannelSpec(Part):
    """Somewhere people are told: a URL of apprise, and which notices go there. Every filter that is given has to hold.

    Short form, without filters: `phone: ${NTFY_URL}`. A critical notice goes to every e-mail channel, whatever the
    filters say, and is not held back by quiet hours.
    """

    url: Annotated[str, ChannelUrl()] = Field(
        description="Where to: e-mail, Slack, ntfy, Telegram, a webhook … as apprise writes it. The whole of it is a "
        "secret. Apprise's documentation lists the services.",
        examples=["${NTFY_URL}"],
    )
    email: bool | None = option("Whether it is e-mail. Default: by the URL's scheme.", example=True)
    min_severity: Annotated[str, Word(_SEVERITIES)] = option(
        "Only notices that are at least as serious. Good news count as much as the bad news that they take back.",
        default="info",
        example="warning",
    )
    types: list[Annotated[str, Word(tuple(each.value for each in NoticeType))]] = option(
        "Only these. `job_failed` brings `job_recovered` along, `agent_offline` brings `agent_online`.",
        default=[],
        example=["job_failed", "integration_disconnected"],
    )
    jobs: list[Annotated[str, Line(100)]] = option(
        "Only notices of these jobs; `*` and `?` as in a shell.", default=[], example=["backup-*"]
    )
    tags: list[Annotated[str, Line(50)]] = option(
        "Only notices of jobs with one of these tags.", default=[], example=["media"]
    )
    quiet_hours: Annotated[tuple[time, time], HoursSpan()] | None = option(
        "See `notify.quiet_hours`, which is the default; `never` for none.", example="23:00-06:30"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"url": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Json]:
        long_form = handler(schema)
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(long_form)]}


class Notify(Part):
    """Who is told when something changes its state (docs/notifications.md). Without it, the dashboard's bell alone."""

    channels: dict[Annotated[str, Id()], ChannelSpec] = option(
        "Where people are told, by a name of your choice.", default={}, example={"phone": "${NTFY_URL:-ntfy://topic}"}
    )
    quiet_hours: Annotated[tuple[time, time], HoursSpan()] | None = option(
        "Notices of this time of the day wait for its end; those that are over by then are not sent at all. Critical "
        "ones do not wait.",
        example="22:00-07:00",
    )
    timezone: Annotated[str, Zone()] | None = option(
        "Of the quiet hours. Default: `defaults.timezone`, else the machine's.", example="Europe/Berlin"
    )
    realert_every: Annotated[float, Duration("1m")] | None = option(
        "A job that still fails so long after it was said is said again, at its next failure. Default: never.",
        example="24h",
    )
    ping: Annotated[str, Url()] | None = option(
        "Asked for as long as this agent lives: a watchman elsewhere (Healthchecks, Uptime Kuma …) notices when nobody "
        "asks any more. A secret.",
        example="https://hc-ping.com/your-uuid",
    )
    ping_every: Annotated[float, Duration("10s", "1d")] = option("How often.", default="1m", example="5m")


class Ping(Part):
    """What is asked for when a run begins and ends, with `rid=` and the run's id as a parameter.

    Short form: `ping: https://hc-ping.com/your-uuid` for success, with `/start` and `/fail` behind it for the others,
    as Healthchecks has it.
    """

    start: Annotated[str, Url()] | None = option("When a run begins.", example="https://hc-ping.com/your-uuid/start")
    success: Annotated[str, Url()] | None = option("When it is ok.", example="https://hc-ping.com/your-uuid")
    failure: Annotated[str, Url()] | None = option(
        "When it has failed and is not tried again.", example="https://hc-ping.com/your-uuid/fail"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if not isinstance(data, str):
            return data
        base, mark, query = data.partition("?")
        base, query = base.rstrip("/"), mark + query
        return {"start": f"{base}/start{query}", "success": f"{base}{query}", "failure": f"{base}/fail{query}"}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Json]:
        long_form = handler(schema)
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(long_form)]}


def rules_of(notify: Notify | None, *, timezone: str) -> NotifyRules:
    """What it means to the agent. `timezone`: of the quiet hours, where `notify` names none."""
    if notify is None:
        return NotifyRules()
    zone = notify.timezone or timezone
    return NotifyRules(
        channels=tuple(_channel(name, spec, notify, zone) for name, spec in notify.channels.items()),
        realert_every_s=notify.realert_every,
        ping=notify.ping,
        ping_every_s=notify.ping_every,
    )


def _channel(name: str, spec: ChannelSpec, notify: Notify, zone: str) -> Channel:
    hours = spec.quiet_hours if "quiet_hours" in spec.model_fields_set else notify.quiet_hours
    return Channel(
        name=name,
        url=spec.url,
        email=spec.email if spec.email is not None else urlsplit(spec.url).scheme.lower() in _EMAIL,
        min_severity=Severity(spec.min_severity),
        types=frozenset(NoticeType(each) for each in spec.types),
        jobs=tuple(spec.jobs),
        tags=frozenset(spec.tags),
        quiet_hours=QuietHours(begin=hours[0], end=hours[1], timezone=zone) if hours else None,
    )


def ping_of(ping: Ping | None) -> PingUrls:
    """The job's watchman."""
    return PingUrls(start=ping.start, success=ping.success, failure=ping.failure) if ping else PingUrls()
