"""`cronmirror pause`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.app.place import open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import ago, local, print_json, stdout
from agent.cli.until import parse_until
from agent.model import Pause


def pause(
    until: Annotated[
        str | None,
        typer.Option("--until", help="2h, 18:00, 'tomorrow 8:00' or an ISO time; default: until `cronmirror resume`."),
    ] = None,
    schedule_only: Annotated[
        bool, typer.Option("--schedule-only", help="Hold the schedule alone; requests are still run.")
    ] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold schedule and requests on this box. What runs goes on; `exec` still works; slots are recorded as missed.

    Works offline and without a running agent, and outlives restarts.
    """
    place, now = open_place(config, state_dir), datetime.now(UTC)
    end = parse_until(until, now) if until else None
    wanted = Pause(mode="schedule" if schedule_only else "all", until=end)
    place.state.pause.write(wanted)
    if as_json:
        print_json({"paused": {"mode": wanted.mode, "until": wanted.until}})
        return
    stdout.print(f"paused: {describe(wanted, now)}")
    if place.state.holder() is None:
        stdout.print("no agent runs here now; the next start will find it paused")


def describe(pause: Pause, now: datetime) -> str:
    """`schedule and requests, until 2026-03-01 18:00:00 (in 2 h)`."""
    what = "the schedule; requests are still run" if pause.mode == "schedule" else "schedule and requests"
    when = f"until {local(pause.until)} ({ago(pause.until, now)})" if pause.until else "until `cronmirror resume`"
    return f"{what}, {when}"
