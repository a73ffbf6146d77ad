"""`cronmirror exec`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.oneshot import execute_here
from agent.app.place import open_place
from agent.cli.options import ConfigOption, StateOption, payload_of
from agent.cli.output import duration, plain, stderr
from agent.model import RunStatus


class _Terminal:
    """Passes output on as it comes."""

    def feed(self, stream: str, data: bytes) -> None:
        """Write through to our own stream of that name."""
        target = sys.stdout if stream == "stdout" else sys.stderr
        target.buffer.write(data)
        target.buffer.flush()


def exec_(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    payload: Annotated[str | None, typer.Option("--payload", help="JSON for a job that takes one.")] = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Run a job here and now, without Supabase, exactly as the agent would. Exits 0 when it is ok, else 1."""
    place = open_place(config, state_dir)
    outcome = asyncio.run(execute_here(place.config, place.state, job, payload_of(payload), _Terminal(), os.environ))
    took = duration(round((outcome.finished_at - outcome.started_at).total_seconds() * 1000))
    style = "green" if outcome.status is RunStatus.OK else "red"
    stderr.print(
        f"[{style}]{outcome.status}[/] after {took}" + (f": {escape(plain(outcome.error))}" if outcome.error else "")
    )
    if outcome.status is not RunStatus.OK:
        raise typer.Exit(1)
