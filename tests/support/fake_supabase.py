"""Supabase as the agent's ports see it, in memory: the meaning of docs/rpc.md, not its SQL.

A test makes it fail: `down` (nobody answers), `fail(call, error)` (once, before anything happens) and
`lose_answer(call)` (it happened, the answer did not arrive).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from agent.errors import CronmirrorError, HelloRefused, Superseded, Unreachable
from agent.model import (
    AgentState,
    BeatReply,
    Claimed,
    Hello,
    HelloReply,
    MirrorReply,
    MirrorRow,
    MirrorSync,
    OutboxEntry,
    Pause,
    Report,
    Request,
    RunningRun,
    RunStatus,
    Verdict,
    VerdictKind,
)
from agent.ports import Clock

SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class Row:
    """A row of `cron_run_requests`."""

    id: UUID
    job_id: str
    status: str = "queued"
    run_at: datetime
    attempts: int = 0
    max_attempts: int = 1
    claims: int = 0
    mine: bool = False
    cancel_requested: bool = False
    payload: object = None
    result: object = None


@dataclass(kw_only=True)
class FakeSupabase:
    """`HelloCall`, `BeatCall`, `ClaimCall`, `ReportCall` and `MirrorCall` of one agent in one project."""

    clock: Clock
    skew: timedelta = timedelta()
    down: bool = False
    epoch: int = 0
    taken_over: bool = False
    other_host: str | None = None
    pause: Pause | None = None
    rows: dict[UUID, Row] = field(default_factory=dict)
    runs: dict[UUID, Report] = field(default_factory=dict)
    mirror: dict[str, MirrorRow] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, object]] = field(default_factory=list)
    states: list[AgentState] = field(default_factory=list)
    claim_seq: int = 0
    claimed_by_seq: tuple[UUID, ...] = ()
    mirror_rev: int = 0
    _failures: dict[str, list[CronmirrorError]] = field(default_factory=lambda: defaultdict(list))
    _lost_answers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    # ── what a test says ────────────────────────────────────────────────────

    def queue(self, job_id: str = "a", *, due_in_s: float = 0.0, max_attempts: int = 1, payload: object = None) -> UUID:
        row = Row(
            id=uuid4(),
            job_id=job_id,
            run_at=self._now() + timedelta(seconds=due_in_s),
            max_attempts=max_attempts,
            payload=payload,
        )
        self.rows[row.id] = row
        return row.id

    def fail(self, call: str, error: CronmirrorError, times: int = 1) -> None:
        self._failures[call] += [error] * times

    def lose_answer(self, call: str, times: int = 1) -> None:
        self._lost_answers[call] += times

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)

    def said(self, call: str) -> list:
        return [what for name, what in self.calls if name == call]

    # ── the calls ───────────────────────────────────────────────────────────

    async def hello(self, hello: Hello) -> HelloReply:
        self._begin("hello", hello, epoch=False)
        if self.other_host and not hello.takeover:
            raise HelloRefused(f"another agent is alive on {self.other_host}", hostname=self.other_host)
        self.epoch += 1
        self.mirror_rev = 0
        requeued = self._hand_back(hello.known)
        self._end("hello")
        return HelloReply(
            epoch=self.epoch,
            role="agent",
            schema_version=SCHEMA_VERSION,
            server_time=self._now(),
            claim_seq=self.claim_seq,
            requeued=tuple(row.id for row in requeued),
        )

    async def beat(self, running: Sequence[RunningRun], state: AgentState, job_ids: Sequence[str]) -> BeatReply:
        self._begin("beat", tuple(running))
        self.states.append(state)
        if state.known is not None and state.state != "online":
            self._hand_back(state.known)
        held = {run.request_id: run.claims for run in running}
        lost = [
            r
            for r, claims in held.items()
            if (row := self.rows.get(r)) is None or (not row.mine, row.claims) != (False, claims)
        ]
        cancelled = [r for r in held if r in self.rows and self.rows[r].cancel_requested and r not in lost]
        due, next_due_at = self._due(job_ids)
        self._end("beat")
        return BeatReply(
            server_time=self._now(),
            cancelled=tuple(cancelled),
            lost=tuple(lost),
            due=due,
            next_due_at=next_due_at,
            pause=self.pause,
        )

    async def claim(self, seq: int, job_ids: Sequence[str], limit: int, lease_s: int) -> Claimed:
        self._begin("claim", (seq, tuple(job_ids), limit))
        if seq > self.claim_seq:
            ready = sorted((row for row in self._queued(job_ids) if row.run_at <= self._now()), key=lambda r: r.run_at)
            if self.pause and self.pause.mode == "all":
                ready = []
            for row in ready[:limit]:
                row.status, row.mine = "running", True
                row.claims, row.attempts = row.claims + 1, row.attempts + 1
            self.claim_seq, self.claimed_by_seq = seq, tuple(row.id for row in ready[:limit])
        ours = [self.rows[i] for i in self.claimed_by_seq if self.rows[i].mine] if seq == self.claim_seq else []
        due, next_due_at = self._due(job_ids)
        self._end("claim")
        return Claimed(server_time=self._now(), requests=tuple(map(_request, ours)), due=due, next_due_at=next_due_at)

    async def report(self, entries: Sequence[OutboxEntry]) -> Mapping[int, Verdict]:
        self._begin("report", tuple(entries))
        verdicts = {entry.seq: self._take(entry.report) for entry in entries}
        self._end("report")
        return verdicts

    async def sync(self, sync: MirrorSync) -> MirrorReply:
        self._begin("sync", sync)
        refused: dict[str, str] = {}
        removed: list[str] = []
        if sync.rev > self.mirror_rev:
            self.mirror_rev = sync.rev
            refused = {row.job_id: self.owners[row.job_id] for row in sync.changed if row.job_id in self.owners}
            self.mirror.update({row.job_id: row for row in sync.changed if row.job_id not in refused})
            removed = [job for job in self.mirror if sync.job_ids is not None and job not in sync.job_ids]
            for job in removed:
                del self.mirror[job]
        self._end("sync")
        return MirrorReply(
            server_time=self._now(), upserted=len(sync.changed) - len(refused), removed=len(removed), refused=refused
        )

    # ────────────────────────────────────────────────────────────────────────

    def _hand_back(self, known: Sequence[UUID]) -> list[Row]:
        returned = [row for row in self.rows.values() if row.mine and row.id not in known]
        for row in returned:
            row.status, row.mine, row.attempts = "queued", False, row.attempts - 1
        return returned

    def _now(self) -> datetime:
        return self.clock.now() + self.skew

    def _begin(self, call: str, said: object, *, epoch: bool = True) -> None:
        self.calls.append((call, said))
        if self.down:
            raise Unreachable("nobody answers")
        if self._failures[call]:
            raise self._failures[call].pop(0)
        if epoch and self.taken_over:
            raise Superseded("another process of this agent has taken over")

    def _end(self, call: str) -> None:
        if self._lost_answers[call]:
            self._lost_answers[call] -= 1
            raise Unreachable("the answer was lost")

    def _queued(self, job_ids: Sequence[str]) -> list[Row]:
        return [row for row in self.rows.values() if row.status == "queued" and row.job_id in job_ids]

    def _due(self, job_ids: Sequence[str]) -> tuple[int, datetime | None]:
        queued = self._queued(job_ids)
        later = [row.run_at for row in queued if row.run_at > self._now()]
        return len(queued) - len(later), min(later, default=None)

    def _take(self, report: Report) -> Verdict:
        known = self.runs.get(report.run_id)
        if known is not None and (known == report or known.status is not RunStatus.RUNNING):
            return Verdict(run_id=report.run_id, kind=VerdictKind.DUPLICATE)
        self.runs[report.run_id] = report
        row = self.rows.get(report.request_id) if report.request_id else None
        if report.request_id is None or report.status is RunStatus.RUNNING:
            return Verdict(run_id=report.run_id, kind=VerdictKind.ACCEPTED)
        if row is None or not row.mine or row.claims != report.claims:
            return Verdict(run_id=report.run_id, kind=VerdictKind.REJECTED, why="fenced")
        row.mine, row.result = False, report.result
        row.status = "done" if report.status is RunStatus.OK else "error"
        if report.retry_in_s is not None and row.attempts < row.max_attempts and not row.cancel_requested:
            row.status, row.run_at = "queued", self._now() + timedelta(seconds=report.retry_in_s)
        return Verdict(run_id=report.run_id, kind=VerdictKind.ACCEPTED)


def _request(row: Row) -> Request:
    return Request(
        id=row.id,
        job_id=row.job_id,
        claims=row.claims,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        payload=row.payload,
        run_at=row.run_at,
    )
