"""Watchmen elsewhere (Healthchecks and its like): told when a job begins and ends, and as long as this agent lives.

A ping is about now: it is tried a few times and then forgotten, never sent later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import structlog

from agent.model import NotifyRules, Report, RunStatus, Trigger
from agent.notices.jobs import JobBook
from agent.pace import Bell, first
from agent.ports import Clock, Pinger

log = structlog.get_logger()

TRIES = 5
FIRST_AGAIN_S = 2.0
LOOK_EVERY_S = 60.0
BODY_CHARS = 10_000
"""Of the end of the output; Healthchecks keeps 100 kB of a body."""
_FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.LOST)


class Pings:
    """`on_report` hears of every start and end as it is committed; `run` is the agent's own pulse."""

    def __init__(self, pinger: Pinger, jobs: JobBook, rules: Callable[[], NotifyRules], clock: Clock) -> None:
        self._pinger = pinger
        self._jobs = jobs
        self._rules = rules
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._starts: dict[UUID, asyncio.Task[None]] = {}
        """By run: the end is told after the start, or a quick job would look as if it were still running."""
        self._changed = Bell()

    def on_report(self, report: Report, *, final: bool) -> None:
        """A run began or ended. Must not block or raise; `final`: no other attempt is planned."""
        job = self._jobs.get(report.job_id)
        if job is None or report.trigger is Trigger.EXEC:
            return
        if report.status is RunStatus.RUNNING:
            if (task := self._begin(job.ping.start, report, "")) is not None:
                self._starts[report.run_id] = task
                task.add_done_callback(lambda _: self._starts.pop(report.run_id, None))
        elif report.status is RunStatus.OK:
            self._begin(job.ping.success, report, report.output or "")
        elif report.status in _FAILED and final:
            said = "\n".join(part for part in (report.error, report.output) if part)
            self._begin(job.ping.failure, report, said)

    def on_reload(self) -> None:
        """The configuration is another one."""
        self._changed.ring()

    async def run(self) -> None:
        """Ask the agent's own URL, for ever; each pulse once, for the next one comes soon."""
        while True:
            rules = self._rules()
            if rules.ping is not None:
                self._spawn(self._tell(rules.ping, "", "agent", tries=1))
            await first(self._clock.sleep(rules.ping_every_s), self._changed.heard())

    async def close(self, timeout_s: float) -> None:
        """Let what is under way end, for at most so long."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=timeout_s)
            for task in late:
                task.cancel()

    def _begin(self, url: str | None, report: Report, body: str) -> asyncio.Task[None] | None:
        if url is None:
            return None
        before = self._starts.get(report.run_id)
        mark = "&" if "?" in url else "?"
        full = f"{url}{mark}rid={report.run_id}"
        return self._spawn(self._tell(full, body[-BODY_CHARS:], report.job_id, tries=TRIES, after=before))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="ping")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _tell(
        self, url: str, body: str, what: str, *, tries: int, after: asyncio.Task[None] | None = None
    ) -> None:
        if after is not None:
            await asyncio.wait((after,))
        for attempt in range(1, tries + 1):
            error = await self._pinger.ping(url, body)
            if error is None:
                return
            say = log.warning if attempt == tries else log.debug
            say("ping not heard", about=what, attempt=attempt, error=error)
            if attempt < tries:
                await self._clock.sleep(FIRST_AGAIN_S * 2 ** (attempt - 1))
