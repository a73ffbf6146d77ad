"""What to do at start about runs that a previous life of this agent began and did not end.

At most once (DESIGN §4.1): such a run is over, whatever its process still does; it is tried again only where the job's
`retry.on` names `lost`.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from agent.model import Job, Json, LocalRun, PlannedRun, Reason, Report, RunStatus
from agent.ports import Clock, Jobs, Processes, RunJournal

log = structlog.get_logger()

ERROR = "the agent ended while this was running, and it cannot know how it went"


async def recover(journal: RunJournal, processes: Processes, jobs: Jobs, clock: Clock, *, agent_id: str) -> int:
    """End what is left of unfinished runs and record each as lost; return how many. Raises `StateError`."""
    runs = await journal.unfinished()
    if not runs:
        return 0
    ended = set(await processes.end_survivors([run.run_id for run in runs]))
    now = clock.now()
    for run in runs:
        delay_s = _retry_delay(run, jobs.get(run.job_id))
        log.warning(
            "run lost with the agent's previous life",
            job=run.job_id,
            run=str(run.run_id),
            survivors_ended=run.run_id in ended,
            retry_in_s=delay_s and round(delay_s, 1),
        )
        scheduled = run.request_id is None
        report = _lost(run, now, None if scheduled else delay_s, agent_id)
        await journal.record(report, retry=_again(run, now, delay_s) if scheduled else None)
    return len(runs)


def _retry_delay(run: LocalRun, job: Job | None) -> float | None:
    if job is None or Reason.LOST not in job.retry.on or run.attempt >= job.retry.max_attempts:
        return None
    return random.random() * min(job.retry.cap_s, job.retry.base_s * 2.0 ** min(run.attempt - 1, 62))  # noqa: S311 - spreads load


def _again(run: LocalRun, now: datetime, delay_s: float | None) -> PlannedRun | None:
    if delay_s is None:
        return None
    return PlannedRun(
        run_id=uuid4(),
        job_id=run.job_id,
        trigger=run.trigger,
        attempt=run.attempt + 1,
        scheduled_for=run.scheduled_for,
        due_at=now + timedelta(seconds=delay_s),
    )


def _lost(run: LocalRun, now: datetime, retry_in_s: float | None, agent_id: str) -> Report:
    """When it really ended nobody knows, so there is no duration."""
    result: dict[str, Json] = {
        "ok": False,
        "reason": Reason.LOST.value,
        "exit_code": None,
        "duration_ms": None,
        "stdout_tail": "",
        "stderr_tail": "",
        "error": ERROR,
        "run_id": str(run.run_id),
        "agent_id": agent_id,
        "attempt": run.attempt,
    }
    return Report(
        run_id=run.run_id,
        job_id=run.job_id,
        trigger=run.trigger,
        status=RunStatus.LOST,
        attempt=run.attempt,
        reason=Reason.LOST.value,
        request_id=run.request_id,
        claims=run.claims,
        scheduled_for=run.scheduled_for,
        started_at=run.started_at,
        finished_at=now,
        error=ERROR,
        retry_in_s=retry_in_s,
        result=None if run.request_id is None else result,
    )
