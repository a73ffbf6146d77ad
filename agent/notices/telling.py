"""A notice of a change of state: the same change has the same id, whoever files it again. Pure."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from agent.model import Notice, NoticeType, Severity
from agent.notices.texts import Text

NAMESPACE = UUID("9f0c3a7e-6a0b-4a54-9d0e-6f2c1c1b7f00")
"""Of the ids of notices."""


def tell(kind: NoticeType, severity: Severity, subject: str, at: datetime, change: str, text: Text) -> Notice:
    """`change`: which change of the subject's state it is, among all of this kind."""
    key = f"{kind}:{change}"
    title, body = text
    return Notice(
        id=uuid5(NAMESPACE, key),
        type=kind,
        severity=severity,
        title=title,
        body=body,
        subject=subject,
        at=at,
        dedupe_key=key,
    )
