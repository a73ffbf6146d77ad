"""How much a job's failing matters, and who watches it from outside: the parts of notices that a job itself has."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agent.model.value import Value


class Severity(StrEnum):
    """The values of `cron_notifications.severity`, in order."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Larger is worse."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True)
class PingUrls(Value):
    """Where a watchman elsewhere is told that a job began and how it ended."""

    start: str | None = field(default=None, repr=False)
    success: str | None = field(default=None, repr=False)
    failure: str | None = field(default=None, repr=False)
