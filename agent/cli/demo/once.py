"""`demo --once`: one press of Run, followed to its end, and its timeline in milliseconds since the insert."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from agent.cli.demo.operator import Operator, facts
from agent.cli.output import plain, stdout

WAIT_S = 30.0
LOOK_EVERY_S = 0.02
STEPS = (
    ("realtime_event", "the insert reached the agent through Realtime"),
    ("claimed", "the agent claimed it"),
    ("started", "the process was started"),
    ("finished", "the process ended"),
    ("written", "the result stands in Supabase"),
)


async def press_and_wait(operator: Operator, job_id: str, agent_log: Path) -> dict[str, Any]:
    """Queue one request as the operator, wait for its end, and return `status` and the timeline."""
    request = await operator.press_run(job_id)
    row = request
    for _ in range(round(WAIT_S / LOOK_EVERY_S)):
        row = await operator.request(request["id"])
        if row["status"] in ("done", "error"):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    runs = await operator.select("cron_runs", request_id=f"eq.{row['id']}", order="attempt.desc", limit="1")
    return {
        "status": row["status"],
        "job_id": job_id,
        "request_id": row["id"],
        **timeline(row, runs[0] if runs else {}, heard_at(agent_log, row["id"])),
        "result": row.get("result"),
    }


def timeline(row: dict[str, Any], run: dict[str, Any], heard: datetime | None) -> dict[str, float | None]:
    """Milliseconds since `requested_at` (database, agent and page share this machine's clock); None: did not happen."""
    inserted = datetime.fromisoformat(row["requested_at"])

    def since(value: str | datetime | None) -> float | None:
        if value is None:
            return None
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        return round((when - inserted).total_seconds() * 1000, 1)

    return {
        "realtime_event": since(heard),
        "claimed": since(row.get("picked_up_at")),
        "started": since(run.get("started_at")),
        "finished": since(run.get("finished_at")),
        "written": since(row.get("completed_at")),
    }


def heard_at(agent_log: Path, request_id: str) -> datetime | None:
    """When the agent's own log says that Realtime told it of this request."""
    for line in agent_log.read_text(encoding="utf-8", errors="replace").splitlines():
        if request_id in line and '"woken"' in line:
            try:
                return datetime.fromisoformat(json.loads(line)["timestamp"])
            except (ValueError, KeyError):
                continue
    return None


def show(answer: dict[str, Any]) -> None:
    """The timeline for people."""
    stdout.print(f"request {answer['request_id']} for {answer['job_id']}: [bold]{answer['status']}[/]")
    for name, words in STEPS:
        at = answer[name]
        stdout.print(f"  {'–' if at is None else f'{at:8.1f} ms'}  {words}")
    result = facts(answer)
    if result.get("stdout_tail"):
        stdout.print(f"  it printed: {escape(plain(str(result['stdout_tail']).strip()))}")
    if result.get("error"):
        stdout.print(f"  error: {escape(plain(str(result['error'])))}")
