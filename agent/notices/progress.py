"""How a notice gets on with its channels: tries, waits, gives up, is taken back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agent.model import DeliveriesJson, Delivery, DeliveryState, FiledNotice, Notice
from agent.notices.routing import GOOD_NEWS

FIRST_AGAIN_S = 15.0
LONGEST_AGAIN_S = 1800.0
NEWS_FOR_S = 24 * 3600.0
"""So long a notice is tried after it was due; later it is no news."""
LONGEST_ERROR = 300


def attempted(delivery: Delivery, error: str | None, now: datetime) -> Delivery:
    """After an attempt: done, or waiting for the next one."""
    attempts = delivery.attempts + 1
    if error is None:
        return Delivery(state=DeliveryState.SENT, attempts=attempts, at=now)
    wait_s = min(LONGEST_AGAIN_S, FIRST_AGAIN_S * 2 ** min(attempts - 1, 16))
    due_at = now + timedelta(seconds=wait_s)
    return replace(delivery, attempts=attempts, at=now, due_at=due_at, error=error[:LONGEST_ERROR])


def aged(filed: FiledNotice, now: datetime) -> FiledNotice:
    """What could not be sent while it was news is given up."""
    gone = {name: _aged(each, filed.notice.at, now) for name, each in filed.deliveries.items()}
    return filed if gone == filed.deliveries else replace(filed, deliveries=gone, shown=False)


def _aged(delivery: Delivery, happened: datetime, now: datetime) -> Delivery:
    waits = delivery.state is DeliveryState.WAITING
    held = delivery.due_at if delivery.error is None else None  # by quiet hours, not by a channel that is down
    first_due = max(happened, held) if held else happened
    if not waits or now - first_due < timedelta(seconds=NEWS_FOR_S):
        return delivery
    state = DeliveryState.FAILED if delivery.error else DeliveryState.EXPIRED
    return replace(delivery, state=state, due_at=None)


def due(filed: FiledNotice, now: datetime) -> Sequence[str]:
    """Channels on which it is to go out now."""
    waiting = ((name, each) for name, each in filed.deliveries.items() if each.state is DeliveryState.WAITING)
    return [name for name, each in waiting if each.due_at is None or each.due_at <= now]


def next_due(notices: Sequence[FiledNotice]) -> datetime | None:
    """When the next delivery is to go out."""
    each = [
        delivery.due_at
        for filed in notices
        for delivery in filed.deliveries.values()
        if delivery.state is DeliveryState.WAITING and delivery.due_at is not None
    ]
    return min(each, default=None)


def settled(filed: FiledNotice) -> bool:
    """Whether nobody has to be told any more."""
    waits = any(each.state is DeliveryState.WAITING for each in filed.deliveries.values())
    return filed.routed and filed.verdict is not None and not waits and (filed.shown or not filed.deliveries)


def taken_back(
    news: Notice, deliveries: Mapping[str, Delivery], earlier: Sequence[FiledNotice]
) -> tuple[Mapping[str, Delivery], Sequence[FiledNotice]]:
    """Good news and the bad news that never went out cancel each other, channel by channel.

    Returns the deliveries of the good news, and of the earlier notices those that have changed.
    """
    bad = GOOD_NEWS.get(news.type)
    mine, changed = dict(deliveries), []
    for filed in earlier:
        if filed.notice.type is not bad or filed.notice.subject != news.subject:
            continue
        unsaid = _unsaid(filed)
        if not unsaid:
            continue
        changed.append(withdrawn(filed))
        mine |= {name: Delivery(state=DeliveryState.SUPERSEDED) for name in unsaid if name in mine}
    return mine, changed


def withdrawn(filed: FiledNotice) -> FiledNotice:
    """It goes out nowhere any more where it has not gone out already."""
    over = {
        name: replace(filed.deliveries[name], state=DeliveryState.SUPERSEDED, due_at=None) for name in _unsaid(filed)
    }
    return replace(filed, routed=True, deliveries={**filed.deliveries, **over}, shown=False)


def _unsaid(filed: FiledNotice) -> frozenset[str]:
    return frozenset(name for name, each in filed.deliveries.items() if each.state is DeliveryState.WAITING)


def outdated(every: Sequence[FiledNotice]) -> Sequence[FiledNotice]:
    """Of what only asks whether it is news: all but the last one of a kind about a subject."""
    last = {(each.notice.type, each.notice.subject): each.seq for each in every if each.only_asks}
    return [each for each in every if each.only_asks and last[each.notice.type, each.notice.subject] != each.seq]


def shown(filed: FiledNotice, agent_id: str) -> DeliveriesJson:
    """As `cron_notifications.deliveries` has them: every agent has its own channels."""
    return {
        f"{agent_id}/{name}": {
            "state": each.state.value,
            "attempts": each.attempts,
            "at": each.at.isoformat() if each.at else None,
            "due_at": each.due_at.isoformat() if each.due_at else None,
            "error": each.error,
        }
        for name, each in filed.deliveries.items()
    }
