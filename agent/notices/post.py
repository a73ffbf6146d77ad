"""Gets filed notices to people: into the project's list, then out on the channels, with retries; and shows how it went.

The list is told first, because it knows the snoozes; where Supabase does not answer, the channels do not wait for it
for long. Notices that the database raised, or that another agent has no channel for, are claimed and brought out like
our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog

from agent.errors import CronmirrorError, Refused, StateError
from agent.model import (
    Channel,
    Delivery,
    DeliveryState,
    FiledNotice,
    Notice,
    NoticeType,
    NoticeVerdict,
    NotifyRules,
    WaitingNotice,
)
from agent.notices.desk import Identity
from agent.notices.jobs import JobBook
from agent.notices.progress import aged, attempted, due, next_due, outdated, settled, shown, taken_back, withdrawn
from agent.notices.routing import job_of, route, takes
from agent.pace import Bell, first
from agent.ports import Clock, Courier, Gate, NoticeCalls, NoticeStore, Redact

log = structlog.get_logger()

PATIENCE_S = 30.0
"""So long a notice waits for Supabase to say whether its subject is snoozed."""
LOOK_EVERY_S = 30.0
REST_S = 30.0
AT_ONCE = 50


@dataclass(frozen=True, kw_only=True)
class Desks:
    """What the post goes through."""

    store: NoticeStore
    calls: NoticeCalls
    courier: Courier
    gate: Gate


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Who is told."""

    rules: Callable[[], NotifyRules]
    jobs: JobBook
    redact: Redact


class Post:
    """One loop. `kick` it when something was filed or is waiting to be claimed."""

    def __init__(self, desks: Desks, addresses: Addresses, identity: Identity, clock: Clock) -> None:
        self._store = desks.store
        self._calls = desks.calls
        self._courier = desks.courier
        self._gate = desks.gate
        self._addresses = addresses
        self._identity = identity
        self._clock = clock
        self._bell = Bell()
        self._to_claim: tuple[UUID, ...] = ()
        self._last_said = ""

    def kick(self) -> None:
        """Look now."""
        self._bell.ring()

    def on_waiting(self, notices: Collection[WaitingNotice]) -> None:
        """These notices of the project wait for somebody to deliver them (the beat says so)."""
        self._to_claim = tuple(each.id for each in notices if self._is_for_us(each))
        if self._to_claim:
            self._bell.ring()

    async def run(self) -> None:
        """Bring everything out, for ever."""
        while True:
            wait_s = LOOK_EVERY_S
            try:
                wait_s = await self.round()
            except StateError as error:
                log.error("notices wait: the journal cannot be used", error=str(error))  # noqa: TRY400 - said already
                wait_s = REST_S
            await first(self._bell.heard(), self._clock.sleep(wait_s))

    async def round(self) -> float:
        """Everything that can be done now; the seconds until there is more. Raises `StateError`."""
        if self._gate.accepted:
            await self._claim()
            await self._publish()
        await self._route()
        await self._deliver()
        if self._gate.accepted:
            await self._show()
        for filed in await self._store.filed():
            if settled(filed):
                await self._store.keep(filed, done=True)
        return await self._seconds_left()

    # ── Supabase ────────────────────────────────────────────────────────────

    async def _claim(self) -> None:
        if not self._to_claim:
            return
        try:
            claimed = await self._calls.claim_notices(self._to_claim)
        except CronmirrorError as error:
            self._say("waiting notices not claimed", error)
            return
        self._to_claim = ()
        await self._store.judge(notices=claimed, verdict=NoticeVerdict.CREATED)

    async def _publish(self) -> None:
        untold = [filed for filed in await self._store.filed() if filed.verdict is None][:AT_ONCE]
        if not untold:
            return
        try:
            verdicts = await self._told([self._addressed(filed) for filed in untold])
        except CronmirrorError as error:
            self._say("notices not told to Supabase yet", error)
            return
        for filed in untold:
            verdict = verdicts.get(filed.notice.id, NoticeVerdict.CREATED)
            known = replace(filed, verdict=verdict)
            await self._store.keep(withdrawn(known) if verdict is NoticeVerdict.TAKEN else known)

    async def _told(self, notices: Sequence[Notice]) -> Mapping[UUID, NoticeVerdict]:
        """One that the database refuses must not keep the others waiting for ever."""
        try:
            return await self._calls.notify(notices)
        except Refused as refusal:
            if len(notices) > 1:
                middle = len(notices) // 2
                return {**await self._told(notices[:middle]), **await self._told(notices[middle:])}
            log.error("notice refused; the channels alone get it", error=str(refusal), key=notices[0].dedupe_key)  # noqa: TRY400 - the refusal says all
            return {notices[0].id: NoticeVerdict.CREATED}

    async def _show(self) -> None:
        unshown = [filed for filed in await self._store.filed() if _worth_showing(filed)][:AT_ONCE]
        if not unshown:
            return
        try:
            await self._calls.delivered({filed.notice.id: shown(filed, self._identity.agent_id) for filed in unshown})
        except CronmirrorError as error:
            self._say("deliveries not shown in Supabase yet", error)
            return
        for filed in unshown:
            await self._store.keep(replace(filed, shown=True))

    def _say(self, what: str, error: CronmirrorError) -> None:
        """Each trouble once, until it becomes another one."""
        said = f"{what}: {error}"
        (log.debug if said == self._last_said else log.warning)(what, error=str(error))
        self._last_said = said

    # ── channels ────────────────────────────────────────────────────────────

    async def _route(self) -> None:
        """Choose the channels, once per notice: when Supabase has said its word, or has been waited for."""
        now, every = self._clock.now(), list(await self._store.filed())
        for filed in outdated(every):
            await self._store.keep(filed, done=True)
        patience = timedelta(seconds=PATIENCE_S)
        for filed in [each for each in every if not each.routed]:
            if filed.verdict is None and (filed.only_asks or now - filed.notice.at < patience):
                continue
            snoozed = filed.verdict is NoticeVerdict.SNOOZED
            job = self._addresses.jobs.get(job_of(filed.notice) or "")
            deliveries = route(filed.notice, job, self._addresses.rules(), now, snoozed=snoozed)
            deliveries, earlier = taken_back(filed.notice, deliveries, [each for each in every if each.routed])
            for each in earlier:
                await self._store.keep(each)
            routed = replace(filed, routed=True, deliveries=deliveries, shown=False)
            await self._store.keep(routed)
            every = [next((e for e in (*earlier, routed) if e.seq == each.seq), each) for each in every]

    async def _deliver(self) -> None:
        """All channels side by side, each in turn, the worst news first: one that is down holds up no other."""
        now, mail = self._clock.now(), {}
        for before in await self._store.filed():
            mail[before.seq] = filed = aged(before, now)
            if filed is not before:
                await self._store.keep(filed)
        channels = {channel.name: channel for channel in self._addresses.rules().channels}
        names = {name for filed in mail.values() for name in due(filed, now)}
        await asyncio.gather(*(self._deliver_on(name, channels.get(name), mail) for name in sorted(names)))

    async def _deliver_on(self, name: str, channel: Channel | None, mail: dict[int, FiledNotice]) -> None:
        """`mail` is shared by the channels: read and replaced without a pause in between."""
        waiting = [filed for filed in mail.values() if name in due(filed, self._clock.now())]
        down: Delivery | None = None
        for seq in [filed.seq for filed in sorted(waiting, key=_worst_first)]:
            if channel is None:  # taken out of the YAML meanwhile
                after = replace(mail[seq].deliveries[name], state=DeliveryState.EXPIRED, due_at=None)
            elif down is not None:  # it has just failed: the others of its mail wait with that one
                after = replace(mail[seq].deliveries[name], due_at=down.due_at, error=down.error)
            else:
                error = await self._send(mail[seq].notice, channel)
                after = attempted(mail[seq].deliveries[name], error, self._clock.now())
                down = after if error is not None else None
            deliveries = {**mail[seq].deliveries, name: after}
            mail[seq] = replace(mail[seq], deliveries=deliveries, shown=False)
            await self._store.keep(mail[seq])

    async def _send(self, notice: Notice, channel: Channel) -> str | None:
        error = await self._courier.send(
            channel.url, title=notice.title, body=notice.body, severity=notice.severity.value
        )
        facts = {"channel": channel.name, "type": notice.type, "subject": notice.subject}
        if error is None:
            log.info("notice sent", **facts)
            return None
        clean = self._addresses.redact(error)
        log.warning("notice not sent; it is tried again", error=clean, **facts)
        return clean

    async def _seconds_left(self) -> float:
        filed = await self._store.filed()
        at = next_due(filed)
        unrouted = any(not each.routed and not each.only_asks for each in filed)
        until = (at - self._clock.now()).total_seconds() if at else LOOK_EVERY_S
        return min(LOOK_EVERY_S, max(0.1, until), PATIENCE_S / 10 if unrouted else LOOK_EVERY_S)

    def _is_for_us(self, waiting: WaitingNotice) -> bool:
        """Whether a channel here takes it and we are not what it is about; else others may claim it."""
        if (waiting.type, waiting.subject) == (NoticeType.AGENT_OFFLINE, f"agent:{self._identity.agent_id}"):
            return False
        return self._is_taken(
            Notice(
                id=waiting.id,
                type=waiting.type,
                severity=waiting.severity,
                title="-",
                body="",
                subject=waiting.subject,
                at=self._clock.now(),
                dedupe_key="-",
            )
        )

    def _is_taken(self, notice: Notice) -> bool:
        job = self._addresses.jobs.get(job_of(notice) or "")
        return any(takes(channel, notice, job) for channel in self._addresses.rules().channels)

    def _addressed(self, filed: FiledNotice) -> Notice:
        """A shared job's notice is the project's: where no channel here takes it, one of another agent may."""
        notice = filed.notice
        if notice.shared is None:
            return notice
        told = any(each.state is DeliveryState.SENT for each in filed.deliveries.values())
        return replace(notice, shared=replace(notice.shared, for_others=not self._is_taken(notice), told=told))


def _worth_showing(filed: FiledNotice) -> bool:
    """Known to Supabase, with something to show that it does not have."""
    return filed.verdict is not None and filed.routed and bool(filed.deliveries) and not filed.shown


def _worst_first(filed: FiledNotice) -> tuple[int, int]:
    return -filed.notice.severity.rank, filed.seq
