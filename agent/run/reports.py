"""Reports of runs, as docs/rpc.md wants them. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from agent.model import Json, Outcome, Report, Run, RunStatus

LONGEST_MS = 2**31 - 1
"""`duration_ms` is an integer of four bytes in the database: a run of more than 24 days counts as 24."""


def start(run: Run, at: datetime) -> Report:
    """The run begins."""
    return replace(_about(run, RunStatus.RUNNING), started_at=at, reason=run.cause)


def finish(run: Run, outcome: Outcome, *, duration_ms: int, output: str, agent_id: str) -> Report:
    """The run ended. `output` is the end of both streams."""
    return replace(
        _about(run, outcome.status),
        reason=outcome.reason or run.cause,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        duration_ms=min(duration_ms, LONGEST_MS),
        exit_code=outcome.exit_code,
        output=output,
        error=outcome.error,
        result=_result(run, outcome, duration_ms, agent_id) if run.request else None,
    )


def given_up(run: Run, outcome: Outcome, *, began: datetime | None, agent_id: str) -> Report:
    """The run ended without output; `began` is None where it ended without having begun."""
    duration_ms = round((outcome.finished_at - outcome.started_at).total_seconds() * 1000)
    report = finish(run, outcome, duration_ms=max(0, duration_ms), output="", agent_id=agent_id)
    return report if began else replace(report, started_at=None, duration_ms=None, output=None)


def _about(run: Run, status: RunStatus) -> Report:
    return Report(
        run_id=run.id,
        job_id=run.job.id,
        trigger=run.trigger,
        status=status,
        attempt=run.attempt,
        request_id=run.request.id if run.request else None,
        claims=run.request.claims if run.request else None,
        scheduled_for=run.scheduled_for,
    )


def _result(run: Run, outcome: Outcome, duration_ms: int, agent_id: str) -> dict[str, Json]:
    """`cron_run_requests.result`: exactly these keys."""
    return {
        "ok": outcome.status is RunStatus.OK,
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
        "duration_ms": duration_ms,
        "stdout_tail": outcome.stdout.text,
        "stderr_tail": outcome.stderr.text,
        "error": outcome.error,
        "run_id": str(run.id),
        "agent_id": agent_id,
        "attempt": run.attempt,
    }
