"""Sends what the journal has recorded: in order, in batches, as often as needed, and never stuck on one report.

Reports are idempotent by `run_id`, so a batch whose answer was lost is simply sent again. A batch that the server
refuses is bisected; the culprit is sent without its output, else set aside (SCHEMA).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import structlog

from agent.errors import CronmirrorError, Refused, StateError, TemporaryError
from agent.model import OutboxEntry, RunStatus, Verdict, VerdictKind
from agent.pace import backoff, first, within
from agent.ports import Clock, OutboxStore, ReportCall
from agent.report.link import Link

log = structlog.get_logger()

BATCH_REPORTS = 200
BATCH_BYTES = 512 * 1024
BUSY_REPORTS = 4
"""So many reports in one call mean that runs come and go: the next call is left a moment to fill. With fewer, it goes
at once: somebody may be watching."""
LINGER_S = 0.05
RETRY_CAP_S = 60.0
STUBBORN = 8
"""Failures in a row, each after an answered beat, until the first report is tried without its output."""
_NOT_THE_REPORTS_FAULT = frozenset({0, 401, 403, 408, 429})
_TOO_LARGE = 413
_DATABASE_CODE = re.compile(r"[0-9A-Z]{5}|PGRST\d+|encoding")
"""SQLSTATE, PostgREST's own, and `rpc.Database`'s for what is no JSON."""
_SLOT_TAKEN = "slot_taken"
"""Another agent ran the slot of a shared job that this one missed or passed over: nothing to worry about."""
_UNSTORABLE = "invalid"
"""What the `why` of a rejection begins with when the database cannot store the report (docs/rpc.md)."""


def blames_the_reports(refusal: Refused) -> bool:
    """Whether sending less could help: a 4xx that is about what was sent, not about who sent it or when.

    The database says so with a code of its own. A bare `404 no Route matched` of the gateway before it, as in a
    restart or a pause of the project, is about nothing that we sent and passes.
    """
    if refusal.status in _NOT_THE_REPORTS_FAULT:
        return False
    return refusal.status == _TOO_LARGE or _DATABASE_CODE.fullmatch(refusal.code) is not None


class Outbox:
    """The outbox sender. One batch is under way at a time."""

    def __init__(self, store: OutboxStore, call: ReportCall, link: Link, clock: Clock) -> None:
        self._store = store
        self._call = call
        self._link = link
        self._clock = clock
        self._sending = asyncio.Lock()
        self._failures = 0

    async def run(self) -> None:
        """Send for ever. After a gap, what was pending comes before the link may claim."""
        while True:
            await self._link.wait_accepted()
            try:
                if self._link.claiming:
                    sent = await self._send_next()
                else:
                    sent = 0
                    await self._drain()
            except CronmirrorError as error:
                await self._rest(error)
                continue
            self._failures = 0
            if BUSY_REPORTS <= sent < BATCH_REPORTS:
                await self._clock.sleep(LINGER_S)
            if self._link.claiming:
                await first(self._store.wait_pending(), self._link.wait_lost())

    async def flush(self, timeout_s: float) -> bool:
        """At shutdown: send what there is, for at most `timeout_s`. True when nothing is left to send."""
        if not self._link.accepted:
            return False
        try:
            return bool(await within(self._clock, timeout_s, self._send_all()))
        except CronmirrorError as error:
            log.warning("reports are left in the outbox for the next start", error=str(error))
            return False

    async def _send_all(self) -> bool:
        while await self._send_next():
            pass
        return True

    async def _drain(self) -> None:
        gap, mark = self._link.gap, await self._store.newest()
        while await self._send_next(up_to=mark):
            pass
        self._link.drained(gap)

    async def _send_next(self, up_to: int | None = None) -> int:
        """Send the oldest batch; how many reports that were: 0 when there was none (or none up to that seq)."""
        async with self._sending:
            batch = await self._store.pending(max(1, BATCH_REPORTS >> self._failures), BATCH_BYTES >> self._failures)
            if not batch or (up_to is not None and batch[0].seq > up_to):
                return 0
            await self._send(batch)
            return len(batch)

    async def _send(self, batch: Sequence[OutboxEntry]) -> None:
        """Send a batch, and settle what was answered. A start whose end is here too goes without saying."""
        ends = {entry.report.run_id: entry.seq for entry in batch if entry.report.status is not RunStatus.RUNNING}
        said = [e for e in batch if e.report.status is not RunStatus.RUNNING or ends.get(e.report.run_id, 0) < e.seq]
        try:
            verdicts = await self._call.report(said)
        except Refused as refusal:
            if not blames_the_reports(refusal):
                raise
            await self._narrow(batch, refusal)
            return
        answered = [entry for entry in said if entry.seq in verdicts]
        unstorable = [entry for entry in answered if (verdicts[entry.seq].why or "").startswith(_UNSTORABLE)]
        settled = {entry.seq: verdicts[entry.seq] for entry in answered if entry not in unstorable}
        for entry in answered:
            verdict = verdicts[entry.seq]
            if entry.seq in settled and verdict.kind is VerdictKind.REJECTED:
                usual = verdict.why == _SLOT_TAKEN and entry.report.status in (RunStatus.MISSED, RunStatus.SKIPPED)
                say = log.debug if usual else log.warning
                say("report rejected; the run is kept locally", why=verdict.why, **_named(entry))
        implied = [entry for entry in batch if entry not in said and ends[entry.report.run_id] in settled]
        await self._store.settle(settled | {entry.seq: _implied(entry) for entry in implied})
        for entry in unstorable:
            await self._lighten_or_set_aside(entry, str(verdicts[entry.seq].why))
        if len(answered) < len(said):
            raise TemporaryError(f"the server answered {len(answered)} of {len(said)} reports")

    async def _narrow(self, batch: Sequence[OutboxEntry], refusal: Refused) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._send(batch[:middle])
            await self._send(batch[middle:])
            return
        (culprit,) = batch
        await self._lighten_or_set_aside(culprit, str(refusal))
        if not culprit.without_output:
            await self._send(await self._store.pending(1, BATCH_BYTES))

    async def _lighten_or_set_aside(self, culprit: OutboxEntry, why: str) -> None:
        """Dropping it would say to the next hello that its request never began, and it would run twice."""
        if culprit.without_output:
            log.error("report set aside: the server refuses it", error=why, **_named(culprit))
            await self._store.set_aside(culprit.seq, why)
        else:
            log.warning("report refused; sending it without its output", error=why, **_named(culprit))
            await self._store.strip_output(culprit.seq)

    async def _rest(self, error: CronmirrorError) -> None:
        """Wait before the next, smaller try. Whether the server is there at all is the heartbeat's to find out."""
        self._failures += 1
        said = log.debug if self._failures > 1 else log.warning
        said("reports not sent; they stay in the outbox", error=str(error), failures=self._failures)
        if not isinstance(error, StateError | Refused):
            self._link.lost()
            if self._failures == STUBBORN:
                await self._lighten()
        if wish := getattr(error, "retry_after_s", None):
            await self._clock.sleep(max(wish, backoff(self._failures, cap_s=RETRY_CAP_S)))
        else:
            await first(self._clock.sleep(backoff(self._failures, cap_s=RETRY_CAP_S)), self._link.wait_recovered())

    async def _lighten(self) -> None:
        """The server answers beats, but never this report alone: its output may be what the way there cannot carry."""
        for entry in await self._store.pending(1, BATCH_BYTES):
            if not entry.without_output:
                log.warning("report not sent in many tries; trying it without its output", **_named(entry))
                await self._store.strip_output(entry.seq)


def _implied(start: OutboxEntry) -> Verdict:
    return Verdict(run_id=start.report.run_id, kind=VerdictKind.ACCEPTED)


def _named(entry: OutboxEntry) -> dict[str, object]:
    report = entry.report
    return {"job": report.job_id, "run": str(report.run_id), "status": report.status.value, "seq": entry.seq}
