"""What notices say: a title that is enough on a lock screen, and a body with what one asks next. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.model import Job, LocalRun, RunStatus

LINES_SHOWN = 5
LONGEST_LINE = 200
SLOTS_SHOWN = 3
JOBS_SHOWN = 10
LONGEST_TITLE = 200

Text = tuple[str, str]
"""Title and body."""

_ENDED = {RunStatus.ERROR: "failed", RunStatus.TIMEOUT: "timed out", RunStatus.LOST: "was cut off"}
_CAUSES = {
    "asleep": "the machine was asleep",
    "agent_down": "the agent was not running",
    "offline": "Supabase could not be asked whose turn it was",
    "busy": "the agent was too busy",
}


def failed_text(job: Job, run: LocalRun, failures: int, since: datetime, agent: str) -> Text:
    """A job begins to fail, or fails still."""
    what = _ENDED.get(run.status, "failed")
    lines = [run.error or f"It ended with status {run.status}."]
    if failures > 1:
        lines.append(f"{failures} runs in a row, since {_at(since, job)}.")
    lines.append(_run_line(job, run, agent))
    lines += _last_output(run.output)
    return _title(f"{job.name} {what}"), "\n".join(lines)


def recovered_text(job: Job, run: LocalRun, failures: int, since: datetime | None, agent: str) -> Text:
    """It works again."""
    runs = "1 run" if failures == 1 else f"{failures} runs in a row"
    began = f" since {_at(since, job)}" if since else ""
    return _title(f"{job.name} works again"), f"After {runs} that failed{began}.\n{_run_line(job, run, agent)}"


def missed_text(job: Job, runs: Sequence[LocalRun], agent: str) -> Text:
    """Slots at which it did not run, and that nothing makes good."""
    cause = _CAUSES.get(runs[-1].reason or "", "it could not be run")
    slots = [_at(run.scheduled_for, job) for run in runs if run.scheduled_for]
    more = f" and {len(slots) - SLOTS_SHOWN} more" if len(slots) > SLOTS_SHOWN else ""
    when = f"\nMissed: {', '.join(slots[:SLOTS_SHOWN])}{more}." if slots else ""
    return _title(f"{job.name} did not run"), f"On {agent} {cause}.{when}"


def missed_together_text(missed: Sequence[tuple[Job, Sequence[LocalRun]]], agent: str) -> Text:
    """Many jobs missed their slots for one reason."""
    cause = _CAUSES.get(missed[0][1][-1].reason or "", "they could not be run")
    names = [job.name for job, _ in missed]
    more = f" and {len(names) - JOBS_SHOWN} more" if len(names) > JOBS_SHOWN else ""
    return (
        _title(f"{len(names)} jobs did not run on {agent}"),
        f"The reason: {cause}.\n{', '.join(names[:JOBS_SHOWN])}{more}.",
    )


def config_error_text(error: str, agent: str) -> Text:
    """The YAML as it stands is not in force."""
    return _title(f"The configuration of {agent} has a mistake"), (
        f"{error}\nThe last good one stays in force until it is mended; `cronmirror check` shows every problem."
    )


def _title(text: str) -> str:
    return text if len(text) <= LONGEST_TITLE else text[: LONGEST_TITLE - 1] + "…"


def _run_line(job: Job, run: LocalRun, agent: str) -> str:
    began = run.started_at or run.finished_at
    when = f", {_at(began, job)}" if began else ""
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    return f"On {agent}{when}{attempt}; run {run.run_id}."


def _last_output(output: str | None) -> list[str]:
    lines = [line.rstrip() for line in (output or "").splitlines() if line.strip()]
    return ["", *(line[:LONGEST_LINE] for line in lines[-LINES_SHOWN:])] if lines else []


def _at(instant: datetime, job: Job) -> str:
    """In the job's own zone, where it has one."""
    if job.schedule is None:
        return f"{instant:%Y-%m-%d %H:%M} UTC"
    return f"{instant.astimezone(ZoneInfo(job.schedule.timezone)):%Y-%m-%d %H:%M} ({job.schedule.timezone})"
