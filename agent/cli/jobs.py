"""`cronmirror jobs`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from agent.app.reading import find_config, read_config
from agent.cli.options import ConfigOption, JsonOption
from agent.cli.output import ago, local, plain, print_json, stdout
from agent.model import Job
from agent.schedule.timetable import next_run_at


def jobs(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the configured jobs: what they run, and when next, in your own time zone."""
    found = read_config(find_config(config, os.environ), os.environ, private=False).config
    now = datetime.now(UTC)
    if as_json:
        print_json([_facts(job, now) | {"lacking_tags": sorted(found.lacking(job))} for job in found.jobs])
        return
    table = Table("job", "name", "schedule", "next run", "runs")
    for job in found.jobs:
        lacking = ", ".join(sorted(found.lacking(job)))
        shown = f"left to agents tagged {lacking}" if lacking else _when(job, now)
        table.add_row(
            *(escape(plain(text)) for text in (job.id, job.name, _schedule(job), shown, job.instructions or ""))
        )
    stdout.print(table)


def _when(job: Job, now: datetime) -> str:
    if not job.enabled:
        return "disabled"
    upcoming = next_run_at(job, now)
    return f"{ago(upcoming, now)} ({local(upcoming)})" if upcoming else "–"


def _schedule(job: Job) -> str:
    if job.schedule is None:
        return "on request"
    if job.schedule.every_s is not None:
        return f"every {job.schedule.every_s:g} s"
    return f"{job.schedule.expr} {job.schedule.timezone}"


def _facts(job: Job, now: datetime) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "name": job.name,
        "enabled": job.enabled,
        "schedule_kind": job.schedule.kind if job.schedule else None,
        "schedule_expr": job.schedule.expr if job.schedule else None,
        "tz": job.schedule.timezone if job.schedule else None,
        "next_run_at": next_run_at(job, now) if job.enabled else None,
        "instructions": job.instructions,
        "tags": list(job.tags),
    }
