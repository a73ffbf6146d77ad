"""`cronmirror resume`."""

from __future__ import annotations

import asyncio
import socket
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.pausing import box_pause, lift_operators, operators_pause
from agent.app.place import open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import ago, local, print_json, stdout


def resume(
    project: Annotated[
        bool,
        typer.Option(
            "--project", help="Lift the operators' pause of the project and of this agent too (`login --person`)."
        ),
    ] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift the pause that was set on this box, and say whether the project's own is still on."""
    place = open_place(config, state_dir)
    was = box_pause(place.state)
    place.state.pause.clear()
    if project:
        agent_id = place.config.agent_id or place.state.agent_id(socket.gethostname())
        asyncio.run(lift_operators(place.config, place.state, agent_id))
    left = None if project else asyncio.run(operators_pause(place.state))
    if as_json:
        print_json(
            {"lifted": was is not None or project, "still_paused": left and {"mode": left.mode, "until": left.until}}
        )
        return
    stdout.print("resumed" if was or project else "this box was not paused")
    if left:
        until = f" until {local(left.until)} ({ago(left.until)})" if left.until else ""
        what = "schedule" if left.mode == "schedule" else "schedule and requests"
        stdout.print(
            f"but operators have paused {what} of project {escape(place.config.project)}{until}, as far as known"
        )
        stdout.print(
            "they resume it on the page; or you do: `cronmirror login --person`, `cronmirror resume --project`"
        )
