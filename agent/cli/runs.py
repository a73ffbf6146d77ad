"""`cronmirror runs`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.cells import cell_len, set_cell_size
from rich.markup import escape
from rich.text import Text

from agent.app.history import read_history
from agent.app.place import open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import STATUS_STYLE, ago, duration, local, local_short, plain, print_json, stdout
from agent.model import LocalRun

_HEAD = ("when", "", "job", "why", "run", "status", "took", "exit")
_STYLES = ("", "dim", "", "", "dim", "", "", "")


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
        for line in _lines(found) if found else [Text("nothing has run here yet")]:
            stdout.print(line)


def _headline(run: LocalRun) -> str:
    when = run.started_at or run.scheduled_for
    return escape(plain(f"{local(when)} ({ago(when)})  {run.trigger}  {run.status}  {run.error or run.reason or ''}"))


def _lines(found: Sequence[LocalRun]) -> Iterator[Text]:
    """A line for each run, and below it what was wrong: beside it, it would leave no column its room."""
    rows = [_HEAD, *map(_cells, found)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for run, cells in zip([None, *found], rows, strict=True):
        styles = _STYLES if run else ["bold"] * len(cells)
        line = Text("  ").join(
            Text(set_cell_size(cell, width), STATUS_STYLE.get(cell.strip(), style))
            for cell, width, style in zip(cells, widths, styles, strict=True)
        )
        line.rstrip()
        yield line
        if run and (run.error or run.reason):
            yield Text("    " + plain(run.error or run.reason).replace("\n", "\n    "), "dim")


def _cells(run: LocalRun) -> tuple[str, ...]:
    when = run.started_at or run.scheduled_for
    return (
        local_short(when),
        ago(when),
        plain(run.job_id),
        run.trigger,
        str(run.run_id)[:8],
        run.status,
        duration(run.duration_ms),
        "" if run.exit_code is None else str(run.exit_code),
    )
