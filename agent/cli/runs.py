"""`cronmirror runs`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.app.history import read_history
from agent.app.place import open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import STATUS_STYLE, ago, duration, local, plain, print_json, stdout
from agent.model import LocalRun


def runs(
    job: Annotated[str | None, typer.Argument(help="Only this job.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    output: Annotated[bool, typer.Option("--output", help="Show what each printed.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what ran on this machine, and what did not and why. Reads the local history: works offline."""
    found = asyncio.run(read_history(open_place(config, state_dir).state, job, limit))
    if as_json:
        print_json([dataclasses.asdict(run) for run in found])
    elif output:
        for run in found:
            stdout.print(f"[bold]{escape(plain(run.job_id))}[/] {_headline(run)}")
            stdout.print(plain(run.output or "(no output)"), markup=False)
    else:
        stdout.print(_table(found) if found else "nothing has run here yet")


def _headline(run: LocalRun) -> str:
    when = run.started_at or run.scheduled_for
    return escape(plain(f"{local(when)} ({ago(when)})  {run.trigger}  {run.status}  {run.error or run.reason or ''}"))


def _table(found: tuple[LocalRun, ...]) -> Table:
    table = Table("when", "", "job", "why", "run", "status", "took", "exit", "what was wrong")
    for run in found:
        when = run.started_at or run.scheduled_for
        table.add_row(
            local(when),
            ago(when),
            escape(plain(run.job_id)),
            run.trigger,
            str(run.run_id)[:8],
            Text(run.status, style=STATUS_STYLE.get(run.status, "")),
            duration(run.duration_ms),
            "" if run.exit_code is None else str(run.exit_code),
            escape(plain(run.error or run.reason)),
        )
    return table
