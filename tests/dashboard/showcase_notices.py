"""The made-up home's connections and notices: one login that works, one that is limited, one that is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

Row = tuple[str, dict[str, Any]]
"""A table and what stands in its columns."""

USED = {"old-report": "quickbooks", "sync-stats": "google-drive", "inbox-triage": "google-mail"}
"""Jobs and their connections."""


def connections(project: str, now: datetime) -> Iterator[Row]:
    """Rows of cron_connections."""
    names = {"project_id": project, "agent_id": "mac-mini", "account": "anna@example.com"}
    good = {"is_active": True, "last_refresh_at": now - timedelta(minutes=21)}
    drive = "https://www.googleapis.com/auth/drive.file"
    yield (
        "cron_connections",
        {
            **names, **good, "connection_id": "google-drive", "provider": "google", "scopes": ["openid", drive],
            "token_expires_at": now + timedelta(minutes=38),
        },
    )  # fmt: skip
    yield (
        "cron_connections",
        {
            **names, **good, "connection_id": "google-mail", "provider": "google", "scopes": ["openid", "gmail.modify"],
            "token_expires_at": now + timedelta(minutes=6), "last_refresh_error": "HTTP 429: too many requests",
            "last_failure_kind": "rate_limit", "consecutive_transient_failures": 5,
        },
    )  # fmt: skip
    yield (
        "cron_connections",
        {
            **names, "connection_id": "quickbooks", "provider": "quickbooks", "account": "Home Lab Ltd.",
            "scopes": ["com.intuit.quickbooks.accounting"], "needs_reauth": True, "consecutive_failures": 3,
            "last_refresh_at": now - timedelta(days=2), "last_failure_kind": "permanent",
            "last_refresh_error": "invalid_grant: Token invalid",
        },
    )  # fmt: skip


def notices(project: str, now: datetime) -> Iterator[Row]:
    """Rows of cron_notifications and cron_snoozes."""
    sent = {"state": "sent", "attempts": 1, "at": (now - timedelta(minutes=8)).isoformat()}
    lost = sent | {"state": "failed", "attempts": 5, "error": "HTTP 404: no such hook"}
    told = (
        ("integration_disconnected", "critical", 8, False, "connection:quickbooks", "quickbooks has to be reconnected",
         "The provider refused the refresh token: invalid_grant.\nJobs that use it are held until somebody signs in.",
         {"mac-mini/mail": sent, "mac-mini/chat": lost}),
        ("integration_rate_limit", "warning", 25, False, "connection:google-mail", "google-mail is rate limited",
         "5 refreshes in a row were put off by the provider. Nothing has to be done.", {"mac-mini/mail": sent}),
        ("agent_offline", "critical", 178, False, "agent:attic", "Attic is offline", "attic was last heard of 3 h ago.",
         {"mac-mini/mail": sent, "mac-mini/ntfy": sent | {"state": "waiting"}}),
        ("job_failed", "warning", 310, True, "job:invoice-sync", "Invoice sync fails", "exit code 1", {}),
        ("job_recovered", "info", 250, True, "job:invoice-sync", "Invoice sync works again", "", {}),
    )  # fmt: skip
    for kind, severity, ago, read, subject, title, body, deliveries in told:
        at = now - timedelta(minutes=ago)
        yield (
            "cron_notifications",
            {
                "project_id": project, "type": kind, "severity": severity, "title": title, "body": body,
                "subject": subject, "created_at": at, "read_at": at + timedelta(minutes=3) if read else None,
                "dedupe_key": f"{kind}:{subject}", "deliveries": json.dumps(deliveries),
            },
        )  # fmt: skip
    snoozed = {"subject": "job:mirror-podcasts", "until": now + timedelta(hours=7), "by": "anna@example.com"}
    yield "cron_snoozes", {"project_id": project, **snoozed}


def sign_in(project: str, now: datetime, person: object) -> Row:
    """One that an admin has begun and that waits for the browser."""
    return (
        "cron_connection_requests",
        {
            "project_id": project, "connection_id": "quickbooks", "agent_id": "mac-mini", "requested_by": person,
            "requested_at": now, "status": "waiting", "expires_at": now + timedelta(minutes=9), "state": "s" * 32,
            "authorization_url": "https://appcenter.intuit.example/connect/oauth2?state=" + "s" * 32,
        },
    )  # fmt: skip
