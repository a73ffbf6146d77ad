"""What is said of a connection's change of state. When it is said is the keeper's policy (`Change.alert`). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agent.model import Alert, Change, Notice, NoticeType, Severity, Standing
from agent.notices.telling import tell

_TYPES: Mapping[Alert, tuple[NoticeType, Severity]] = {
    Alert.WARNING: (NoticeType.INTEGRATION_WARNING, Severity.WARNING),
    Alert.RATE_LIMIT: (NoticeType.INTEGRATION_RATE_LIMIT, Severity.WARNING),
    Alert.DISCONNECTED: (NoticeType.INTEGRATION_DISCONNECTED, Severity.CRITICAL),
}


def notice_of(change: Change, agent_id: str) -> Notice | None:
    """The notice that the change is worth; None where nobody has to be told (a reconnection was somebody's own doing).

    Its key holds the last time that the connection worked: one notice of a kind until it works again.
    """
    if change.alert is None or change.alert not in _TYPES:
        return None
    kind, severity = _TYPES[change.alert]
    after = change.after
    worked = after.last_refresh_at.isoformat() if after.last_refresh_at else "never"
    change_of = f"{agent_id}:{after.connection_id}:{worked}"
    return tell(kind, severity, f"connection:{after.connection_id}", change.at, change_of, _text(kind, after))


def _text(kind: NoticeType, standing: Standing) -> tuple[str, str]:
    name = standing.connection_id
    whose = f"{standing.provider}, {standing.account}" if standing.account else standing.provider
    said = f"\nThe provider's answer: {standing.last_refresh_error}" if standing.last_refresh_error else ""
    if kind is NoticeType.INTEGRATION_DISCONNECTED:
        return f"{name} needs a new sign-in", (
            f"The connection {name} ({whose}) is no longer valid; its jobs are held, and catch up afterwards.\n"
            f"Sign in again: Reconnect in the dashboard, or `cronmirror connections login {name}`.{said}"
        )
    if kind is NoticeType.INTEGRATION_RATE_LIMIT:
        times = standing.consecutive_transient_failures
        return f"{name} cannot be refreshed for now", (
            f"The connection {name} ({whose}) could not be refreshed {times} times in a row, for reasons that pass by "
            f"themselves (a rate limit, the network, the provider). Nothing has to be done; it is tried again.{said}"
        )
    return f"{name} could not be refreshed", (
        f"The connection {name} ({whose}) could not be refreshed {standing.consecutive_failures} times in a row. "
        f"If that goes on, it needs a new sign-in.{said}"
    )
