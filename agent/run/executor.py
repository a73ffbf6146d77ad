"""One run from its first commit to its last: at most once, never in a shell string, always reported.

Knows neither slots nor schedules (slots.py), nor how processes are started or journals written (ports).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from agent.errors import StateError
from agent.model import GivenToken, Outcome, PlannedRun, Reason, Report, Run, RunStatus, Turn, WhenOffline
from agent.ports import CancelFlag, Clock, HttpCalls, LiveSink, Payloads, Processes, RunJournal, RunTokens, Turns
from agent.run import reports
from agent.run.ending import stopped
from agent.run.launch import Home, refusal
from agent.run.live import Tee
from agent.run.output import Capture
from agent.run.perform import Performance, Performer
from agent.run.recorder import Recorder
from agent.run.redact import Redactor
from agent.run.retry import Rng, retry_in

Live = Callable[[Run], LiveSink]
"""Opens what shows the output of a run that begins."""

log = structlog.get_logger()


def _unheard() -> None:
    """Nobody waits for the place."""


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The ports that a run goes through."""

    clock: Clock
    processes: Processes
    calls: HttpCalls
    journal: RunJournal
    payloads: Payloads
    tokens: RunTokens | None = None
    """None: there are no connections."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What an agent needs beyond that: whose turn a shared slot is, and who waits for planned retries."""

    turns: Turns
    retry_planned: Callable[[PlannedRun], None]


class Executor:
    """Executes runs, any number at a time. What `live` opens sees all output of its run as it comes, unredacted."""

    def __init__(
        self,
        edges: Edges,
        redactor: Redactor,
        home: Home,
        *,
        live: Live | None = None,
        fleet: Fleet | None = None,
        rng: Rng = random.random,
    ) -> None:
        self._clock = edges.clock
        self._journal = edges.journal
        self._payloads = edges.payloads
        self._tokens = edges.tokens
        self._recorder = Recorder(edges.journal, edges.clock)
        self._performer = Performer(edges.processes, edges.calls, edges.payloads, home)
        self._redactor = redactor
        self._home = home
        self._live = live
        self._fleet = fleet
        self._rng = rng

    async def execute(self, run: Run, cancel: CancelFlag, over: Callable[[], None] = _unheard) -> Outcome | None:
        """Run to the end; returns after the end is committed. Nothing the command does is raised.

        `over` is called in between: the command has ended, and that is about to be committed.

        The start is committed before anything is started; where that fails, nothing is, and the report says so.
        A slot of a shared job is won before: None means that nobody could be asked, and the run is planned as before.
        The same where a slot waits for somebody to sign in; whoever waits for a request's end is told so instead.
        """
        if cancel.reason:
            return await self.cancelled(run, cancel.reason)
        fault = refusal(run, self._payloads)
        if fault:
            return await self.reject(run, fault)
        token = await self._tokens.token_for(run.job) if self._tokens else None
        if token is not None and token.token is None:
            return await self._without_token(run, token)
        turn = await self._turn(run)
        if turn is Turn.UNKNOWN:
            return None
        if turn is Turn.TAKEN:
            return await self._leave(run)
        return await self._begin(run, token, cancel, over)

    async def _without_token(self, run: Run, token: GivenToken) -> Outcome | None:
        """Nothing is started that could only fail."""
        if token.needs_reauth and run.scheduled_for is not None and run.attempt == 1:
            log.info("run left to wait for a sign-in", job=run.job.id, run=str(run.id))
            return None
        if token.needs_reauth:
            return await self.skip(run, Reason.NEEDS_REAUTH, f"Not started: {token.problem}")
        return await self._give_up(run, RunStatus.ERROR, Reason.SPAWN_FAILED, f"Not started: {token.problem}")

    async def _begin(self, run: Run, token: GivenToken | None, cancel: CancelFlag, over: Callable[[], None]) -> Outcome:
        """Everything from the commit of the start on."""
        if cancel.reason:  # said while the slot was asked for: what was won ends in a row that says so
            return await self._give_up(run, *stopped(cancel.reason))
        began = self._clock.now()
        try:
            await self._journal.record(reports.start(run, began))
        except StateError as err:
            return await self._give_up(run, RunStatus.ERROR, Reason.SPAWN_FAILED, f"Not started: {err}")
        asked = {"request": str(run.request.id)} if run.request else {}
        log.info("run started", job=run.job.id, run=str(run.id), trigger=run.trigger, attempt=run.attempt, **asked)
        if token is not None and token.problem:
            log.warning("run with a token that may be stale", run=str(run.id), why=token.problem)
        return await self._started(run, token, began, cancel, over)

    async def _turn(self, run: Run) -> Turn:
        """Whether the run is ours to begin."""
        if self._fleet is None or not run.must_be_won:
            return Turn.OURS
        turn = await self._fleet.turns.ask(run)
        if turn is Turn.UNKNOWN and run.job.when_offline is WhenOffline.RUN:
            return Turn.OURS
        return turn

    async def _leave(self, run: Run) -> Outcome:
        """Another agent runs the slot: nothing of it is recorded here."""
        try:
            await self._journal.drop([run.id])
        except StateError as err:  # the next start asks again, and gets the same answer
            log.warning("a plan that another agent has is not forgotten", run=str(run.id), error=str(err))
        now = self._clock.now()
        return Outcome(status=RunStatus.SKIPPED, reason=None, started_at=now, finished_at=now)

    async def reject(self, run: Run, message: str) -> Outcome:
        """Refuse the run before anything is started; `message` says why and what to do. Returns when committed."""
        return await self._give_up(run, RunStatus.SKIPPED, Reason.REJECTED, message)

    async def skip(self, run: Run, reason: Reason, message: str) -> Outcome:
        """Record that the run's turn passed without it; returns when committed."""
        return await self._give_up(run, RunStatus.SKIPPED, reason, message)

    async def cancelled(self, run: Run, reason: str) -> Outcome:
        """The run was told to end before it began: recorded, unless it is left to a later start or another agent."""
        if reason not in (Reason.SHUTDOWN, Reason.LOST):
            return await self._give_up(run, *stopped(reason))
        log.info("run left unbegun", job=run.job.id, run=str(run.id), reason=reason)
        status, why, error = stopped(reason)
        now = self._clock.now()
        return Outcome(status=status, reason=why, started_at=now, finished_at=now, error=error)

    async def broken(self, run: Run, began: datetime, why: str) -> Outcome:
        """Record that the run ended in a fault of ours; returns when committed."""
        return await self._give_up(run, RunStatus.ERROR, None, why, began=began)

    async def _started(
        self, run: Run, token: GivenToken | None, began: datetime, cancel: CancelFlag, over: Callable[[], None]
    ) -> Outcome:
        """From after the commit of the start to after the commit of the end."""
        timer = self._clock.monotonic()
        capture = Capture(run.job.output_limit, self._redactor)
        performance = await self._performed(run, token, capture, cancel)
        over()
        duration_ms = round((self._clock.monotonic() - timer) * 1000)
        status, reason, error = performance.ending
        outcome = Outcome(
            status=status,
            reason=reason,
            started_at=began,
            finished_at=self._clock.now(),
            exit_code=performance.exit_code,
            stdout=capture.output("stdout"),
            stderr=capture.output("stderr"),
            error=self._redactor(error) if error else None,
        )
        report = reports.finish(
            run, outcome, duration_ms=duration_ms, output=capture.tail(), agent_id=self._home.agent_id
        )
        await self._finish(run, outcome, report)
        return outcome

    async def _performed(self, run: Run, token: GivenToken | None, capture: Capture, cancel: CancelFlag) -> Performance:
        """What the command does, for the report and for whoever watches."""
        tee = Tee(capture, self._live(run)) if self._live else None
        try:
            return await self._performer.perform(run, token, tee or capture, cancel)
        finally:
            if tee:
                tee.close()

    async def _finish(self, run: Run, outcome: Outcome, report: Report) -> None:
        """Commit the end, and the next attempt where there is to be one."""
        retry_s = retry_in(run, outcome, self._rng)
        facts = {"error": outcome.error, "retry_in_s": retry_s}
        log.info(
            "run ended",
            job=run.job.id,
            run=str(run.id),
            status=outcome.status,
            reason=outcome.reason,
            duration_ms=report.duration_ms,
            **{name: value for name, value in facts.items() if value is not None},
        )
        if retry_s is None:
            await self._recorder.record(report)
        elif run.request:
            await self._recorder.record(replace(report, retry_in_s=retry_s))
        else:
            retry = self._next_attempt(run, retry_s)
            await self._recorder.record(report, retry=retry)
            if self._fleet:
                self._fleet.retry_planned(retry)

    def _next_attempt(self, run: Run, retry_s: float) -> PlannedRun:
        """The retry of a scheduled run stays on this agent (a request's goes back to the queue)."""
        return PlannedRun(
            run_id=uuid4(),
            job_id=run.job.id,
            trigger=run.trigger,
            attempt=run.attempt + 1,
            scheduled_for=run.scheduled_for,
            due_at=self._clock.now() + timedelta(seconds=retry_s),
            cause=run.cause,
        )

    async def _give_up(
        self, run: Run, status: RunStatus, reason: Reason | None, why: str | None, *, began: datetime | None = None
    ) -> Outcome:
        """Record a run of which there is nothing to tell but the end; `began` is None where it never did."""
        now = self._clock.now()
        error = self._redactor(why or "")
        outcome = Outcome(status=status, reason=reason, started_at=began or now, finished_at=now, error=error)
        loud = log.error if status is RunStatus.ERROR else log.warning
        loud("run given up", job=run.job.id, run=str(run.id), status=status, reason=reason, why=error)
        await self._recorder.record(reports.given_up(run, outcome, began=began, agent_id=self._home.agent_id))
        return outcome
