"""Keeps `cron_mirror` equal to the configuration: every 30–60 s what changed since the last acknowledged sync.

A sync whose answer was lost may or may not have happened: its rows are sent again with a higher `rev` (docs/rpc.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from agent.errors import CronmirrorError, Refused
from agent.model import HelloReply, Job, MirrorReply, MirrorRow, MirrorSync
from agent.pace import backoff, first
from agent.ports import Clock, Gate, Jobs, MirrorCall, PauseState
from agent.report.outbox import blames_the_reports
from agent.report.rows import chunks, row_of

log = structlog.get_logger()

EARLIEST, LATEST = 2 / 3, 4 / 3
"""Share of `every_s` within which a sync begins: 30–60 s for the usual 45 s."""
DEBOUNCE_S = 0.2
RETRY_CAP_S = 60.0

NextRun = Callable[[Job, datetime], datetime | None]
"""The first slot of a job after an instant."""

Owners = Callable[[Mapping[str, str]], Awaitable[None]]
"""Takes job id → the agent that owns it."""


async def _nobody_asks(_: Mapping[str, str]) -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Told:
    """Who hears what a sync has shown."""

    added: Callable[[], None] = lambda: None
    """The server has jobs now that it did not have; requests for them may have waited."""
    owners: Owners = _nobody_asks
    """After each sync: which jobs belong to other agents."""


@dataclass(kw_only=True)
class _Known:
    """What the server has, as far as it has told us since hello."""

    rows: dict[str, MirrorRow] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    """Jobs of unanswered syncs: the server may have the old row, the new one, or none."""
    refused: dict[str, str] = field(default_factory=dict)
    """job id → the agent that owns it."""
    rev: int = 0


class Mirror:
    """The mirror loop. `on_hello` makes it begin anew, `kick` makes it look at once."""

    def __init__(
        self,
        jobs: Jobs,
        call: MirrorCall,
        gate: Gate,
        pause: PauseState,
        clock: Clock,
        next_run_at: NextRun,
        *,
        every_s: float,
        told: Told | None = None,
    ) -> None:
        self._jobs = jobs
        self._call = call
        self._gate = gate
        self._pause = pause
        self._clock = clock
        self._next_run_at = next_run_at
        self._every_s = every_s
        self._told = told or Told()
        self._known = _Known()
        self._unsendable: dict[str, MirrorRow] = {}
        self._kicked = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Sync for ever: at once after hello and after a reload, else every now and then."""
        while True:
            await self._gate.wait_accepted()
            self._kicked.clear()
            revision = self._jobs.revision
            try:
                await self._sync()
            except CronmirrorError as error:
                await self._rest(error)
                continue
            self._failures = 0
            wait_s = self._every_s * random.uniform(EARLIEST, LATEST)  # noqa: S311 - spreads load, guards nothing
            await first(self._clock.sleep(wait_s), self._kicked.wait(), self._jobs.wait_changed(revision))
            if self._kicked.is_set() or self._jobs.revision != revision:
                await self._clock.sleep(DEBOUNCE_S)

    def kick(self) -> None:
        """Something a page shows has changed: do not wait for the next round."""
        self._kicked.set()

    def on_hello(self, reply: HelloReply) -> None:  # noqa: ARG002 - a listener takes the answer
        """Begin anew: the server has set `rev` back to 0."""
        self._known = _Known()
        self.kick()

    def _rows(self) -> dict[str, MirrorRow]:
        now = self._clock.now()
        held = self._pause.paused("schedule")
        return {
            job.id: row_of(job, None if held or not job.enabled else self._next_run_at(job, now))
            for job in self._jobs.all()
        }

    async def _sync(self) -> None:
        known, rows = self._known, self._rows()
        changed = [row for row in rows.values() if self._must_send(known, row)]
        gone = [job_id for job_id in known.rows if job_id not in rows]
        parts = list(chunks(changed))
        for part in parts[:-1]:
            await self._send(known, part, None)
        known.doubtful.update(gone)
        await self._send(known, parts[-1], tuple(rows) if self._jobs.valid else None)
        if self._jobs.valid:
            _forget(known, gone)
        await self._told.owners({job_id: owner for job_id, owner in known.refused.items() if job_id in rows})

    def _must_send(self, known: _Known, row: MirrorRow) -> bool:
        if self._unsendable.get(row.job_id) == row:
            return False
        return row.job_id in known.doubtful or known.rows.get(row.job_id) != row

    async def _send(self, known: _Known, part: tuple[MirrorRow, ...], job_ids: tuple[str, ...] | None) -> None:
        known.doubtful.update(row.job_id for row in part)
        known.rev += 1
        try:
            reply = await self._call.sync(MirrorSync(rev=known.rev, changed=part, job_ids=job_ids))
        except Refused as refusal:
            if not (part and blames_the_reports(refusal)):
                raise
            await self._narrow(known, part, job_ids, refusal)
            return
        fresh = any(row.job_id not in known.rows for row in part)
        for row in part:
            known.doubtful.discard(row.job_id)
            known.rows[row.job_id] = row
        self._note_owners(known, part, reply)
        if fresh:
            self._told.added()

    async def _narrow(
        self, known: _Known, part: tuple[MirrorRow, ...], job_ids: tuple[str, ...] | None, refusal: Refused
    ) -> None:
        """One row the database cannot take must not hide all others."""
        if len(part) > 1:
            middle = len(part) // 2
            await self._send(known, part[:middle], None)
            await self._send(known, part[middle:], job_ids)
            return
        (culprit,) = part
        self._unsendable[culprit.job_id] = culprit
        log.error("job not mirrored: the server refuses its row", job=culprit.job_id, error=str(refusal))
        if job_ids is not None:
            await self._send(known, (), job_ids)

    def _note_owners(self, known: _Known, part: tuple[MirrorRow, ...], reply: MirrorReply) -> None:
        """A refused row is tried again with every sync, for its owner may let go; said once."""
        for row in part:
            owner = reply.refused.get(row.job_id)
            if owner is None:
                known.refused.pop(row.job_id, None)
                continue
            del known.rows[row.job_id]
            if known.refused.get(row.job_id) != owner:
                known.refused[row.job_id] = owner
                log.warning("job not mirrored: another agent has a job of this id", job=row.job_id, owner=owner)

    async def _rest(self, error: CronmirrorError) -> None:
        self._failures += 1
        said = log.debug if self._failures > 1 else log.warning
        said("mirror not synced; trying again", error=str(error), hint=error.hint)
        if not isinstance(error, Refused):  # whether the server is there at all is the heartbeat's to find out
            self._gate.lost()
        await first(self._clock.sleep(backoff(self._failures, cap_s=RETRY_CAP_S)), self._gate.wait_recovered())


def _forget(known: _Known, gone: Iterable[str]) -> None:
    for job_id in gone:
        known.rows.pop(job_id, None)
        known.doubtful.discard(job_id)
