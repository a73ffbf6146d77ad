"""The demo's live view: jobs, requests and runs as the operator sees them through Supabase."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.cli.demo.operator import Operator, facts
from agent.cli.output import STATUS_STYLE, ago, duration, local, plain, stdout
from agent.errors import TemporaryError

LOOK_EVERY_S = 1.0
ROWS = 6


async def watch(operator: Operator, heading: str) -> None:
    """Show what happens until cancelled."""
    picture: Group | Text = Text("waiting for the first sync …")
    with Live(picture, console=stdout, auto_refresh=False) as live:
        while True:
            try:
                live.update(await _picture(operator, heading), refresh=True)
            except TemporaryError as err:
                live.update(Text(f"{heading}\n\n{err}", style="red"), refresh=True)
            await asyncio.sleep(LOOK_EVERY_S)


async def _picture(operator: Operator, heading: str) -> Group:
    jobs, requests, runs, beats = await asyncio.gather(
        operator.select("cron_mirror", order="job_id"),
        operator.select("cron_run_requests", order="requested_at.desc", limit=str(ROWS)),
        operator.select("cron_runs", order="started_at.desc", limit=str(ROWS)),
        operator.select("cron_agents"),
    )
    agents = ", ".join(f"{each['agent_id']} {each['state']}, Realtime {each['realtime']}" for each in beats)
    return Group(
        Text(heading),
        Text(f"agent: {agents or 'starting'}", style="dim"),
        _jobs(jobs),
        _requests(requests),
        _runs(runs),
    )


def _jobs(rows: list[dict[str, Any]]) -> Table:
    table = Table("job", "schedule", "next run", "last run", "", title="cron_mirror", title_justify="left", expand=True)
    for row in rows:
        schedule = " ".join(filter(None, (row["schedule_kind"], row["schedule_expr"]))) or "on request"
        table.add_row(
            escape(plain(row["job_id"])),
            escape(plain(schedule)),
            ago(when(row["next_run_at"])),
            ago(when(row["last_run_at"])),
            _status(row["last_status"]),
        )
    return table


def _requests(rows: list[dict[str, Any]]) -> Table:
    table = Table("asked at", "job", "status", "result", title="cron_run_requests", title_justify="left", expand=True)
    for row in rows:
        result = facts(row)
        said = result.get("error") or str(result.get("stdout_tail") or "").strip().splitlines()[-1:] or ""
        words = said[0] if isinstance(said, list) else said
        table.add_row(
            local(when(row["requested_at"])),
            escape(plain(row["job_id"])),
            _status(row["status"]),
            escape(plain(str(words)[:80])),
        )
    return table


def _runs(rows: list[dict[str, Any]]) -> Table:
    table = Table("started", "job", "why", "status", "took", title="cron_runs", title_justify="left", expand=True)
    for row in rows:
        table.add_row(
            local(when(row["started_at"])),
            escape(plain(row["job_id"])),
            row["trigger"],
            _status(row["status"]),
            duration(row["duration_ms"]),
        )
    return table


def _status(status: str | None) -> Text:
    return Text(status or "–", style=STATUS_STYLE.get(status or "", ""))


def when(value: str | None) -> datetime | None:
    """PostgREST's timestamp, as UTC."""
    return datetime.fromisoformat(value).astimezone(UTC) if value else None
