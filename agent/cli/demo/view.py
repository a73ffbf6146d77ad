"""The demo's live view: jobs, requests and runs as the operator sees them through Supabase."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.cli.demo.operator import Operator, facts
from agent.cli.output import STATUS_STYLE, ago, duration, local, plain
from agent.errors import TemporaryError

LOOK_EVERY_S = 1.0
ROWS = 6


async def watch(operator: Operator, console: Console) -> None:
    """Show what happens until cancelled; what is printed on `console` meanwhile stands above."""
    with Live(Text("waiting for the first sync …"), console=console, auto_refresh=False) as live:
        while True:
            try:
                live.update(await _picture(operator), refresh=True)
            except TemporaryError as err:
                live.update(Text(str(err), style="red"), refresh=True)
            await asyncio.sleep(LOOK_EVERY_S)


async def _picture(operator: Operator) -> Group:
    jobs, requests, runs, beats = await asyncio.gather(
        operator.select("cron_mirror", order="job_id"),
        operator.select("cron_run_requests", order="requested_at.desc", limit=str(ROWS)),
        operator.select("cron_runs", order="started_at.desc", limit=str(ROWS)),
        operator.select("cron_agents"),
    )
    agents = ", ".join(f"{each['agent_id']} {each['state']}, Realtime {each['realtime']}" for each in beats)
    return Group(
        Text(f"agent: {agents or 'starting'}", style="dim"),
        _jobs(jobs),
        _requests(requests),
        _runs(runs),
    )


def _jobs(rows: list[dict[str, Any]]) -> Table:
    table = Table("job", "schedule", "next run", "last run", "", title="cron_mirror", title_justify="left", expand=True)
    for row in rows:
        table.add_row(
            escape(plain(row["job_id"])),
            escape(plain(_schedule(row))),
            _next(when(row["next_run_at"])),
            ago(when(row["last_run_at"])),
            _status(row["last_status"]),
        )
    return table


def _schedule(row: dict[str, Any]) -> str:
    if row["schedule_kind"] == "every":
        return f"every {int(row['schedule_expr']) / 1000:g} s"
    return str(row["schedule_expr"] or "on request")


def _next(upcoming: datetime | None) -> str:
    """The mirror is up to a minute old: a slot that has passed meanwhile is not shown as one to come."""
    return "by now" if upcoming and upcoming < datetime.now(UTC) else ago(upcoming)


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
