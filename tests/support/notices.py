"""Supabase's list and the channels in memory, for tests of notices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from agent.errors import Unreachable
from agent.model import Notice, NoticeType, NoticeVerdict, WaitingNotice


@dataclass
class FakeList:
    """`agent.ports.NoticeCalls`: as the database answers."""

    rows: dict[UUID, Notice] = field(default_factory=dict)
    snoozed: set[str] = field(default_factory=set)
    waiting: list[Notice] = field(default_factory=list)
    """For whoever has a channel."""
    deliveries: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    last: dict[str, NoticeType] = field(default_factory=dict)
    """By subject of a shared job: the last word."""
    away: bool = False
    forgets_to_answer: bool = False

    async def notify(self, notices: Sequence[Notice]) -> Mapping[UUID, NoticeVerdict]:
        self._reach()
        verdicts = {}
        for notice in notices:
            known = notice.id in self.rows
            if notice.shared is not None and not known:
                if self.last.get(notice.subject) is notice.type:
                    verdicts[notice.id] = NoticeVerdict.TAKEN
                    continue
                self.last[notice.subject] = notice.type
            self.rows.setdefault(notice.id, notice)
            fresh = NoticeVerdict.SNOOZED if notice.subject in self.snoozed else NoticeVerdict.CREATED
            verdicts[notice.id] = NoticeVerdict.DUPLICATE if known else fresh
            if notice.shared is not None and notice.shared.for_others:
                self.waiting.append(notice)
                verdicts[notice.id] = NoticeVerdict.TAKEN
        if self.forgets_to_answer:
            self.forgets_to_answer = False
            raise Unreachable("the answer was lost")
        return verdicts

    async def claim_notices(self, ids: Collection[UUID]) -> Sequence[Notice]:
        self._reach()
        claimed = [each for each in self.waiting if each.id in ids]
        self.waiting = [each for each in self.waiting if each.id not in ids]
        return claimed

    def beat(self) -> tuple[WaitingNotice, ...]:
        """As a beat says it."""
        return tuple(
            WaitingNotice(id=each.id, type=each.type, severity=each.severity, subject=each.subject)
            for each in self.waiting
        )

    async def delivered(self, deliveries) -> None:
        self._reach()
        for notice_id, channels in deliveries.items():
            self.deliveries.setdefault(notice_id, {}).update(channels)

    def _reach(self) -> None:
        if self.away:
            raise Unreachable("nobody answers")


@dataclass
class FakeCourier:
    """`agent.ports.Courier`. `broken`: URLs that take nothing."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    """URL and title."""
    broken: dict[str, str] = field(default_factory=dict)

    async def send(self, url: str, *, title: str, body: str, severity: str) -> str | None:
        if url in self.broken:
            return self.broken[url]
        self.sent.append((url, title))
        return None


@dataclass
class FakeGate:
    """`agent.ports.Gate`, as far as notices ask it."""

    accepted: bool = True
