"""`cronmirror request`."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from agent.app.ctrl_c import first_ctrl_c
from agent.app.follow import FINAL, wait_for
from agent.app.people import as_person
from agent.app.place import Place, open_place
from agent.cli.boundary import INTERRUPTED
from agent.cli.options import ConfigOption, JsonOption, StateOption, payload_of
from agent.cli.output import STATUS_STYLE, duration, plain, print_json, stderr
from agent.cli.terminal import Screen
from agent.model import Json, Reason


def request(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    payload: Annotated[str | None, typer.Option("--payload", help="JSON for a job that takes one.")] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for the end; exit 0 when it is done, else 1. Ctrl-C cancels it."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait, and show what it prints meanwhile.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a run through Supabase, as the Run button of a page does. Needs `cronmirror login --person` once."""
    if follow and as_json:
        raise typer.BadParameter("--follow shows output as it comes, --json one document at the end; choose one")
    place, screen = open_place(config, state_dir), Screen()
    try:
        asked = _request(place, job, payload_of(payload), screen, wait=wait or follow, follow=follow, quiet=as_json)
        row, interrupted = asyncio.run(asked)
    finally:
        screen.close()
    if as_json:
        print_json(row)
    elif wait or follow:
        _show(row, screen, output=not follow)
    if (wait or follow) and row["status"] != "done":
        raise typer.Exit(INTERRUPTED if interrupted else 1)


async def _request(
    place: Place, job: str, payload: Json, screen: Screen, *, wait: bool, follow: bool, quiet: bool
) -> tuple[dict[str, Any], bool]:
    """The request, and whether it ended because of Ctrl-C."""
    async with as_person(place.config, place.state) as people:
        with first_ctrl_c() if wait else nullcontext(asyncio.Event()) as interrupted:
            asked = await people.request_run(job, payload)
            if not quiet:
                who = ", ".join(asked.get("agent_ids") or ()) or "an agent that serves this job"
                stderr.print(f"queued request {asked['id']}; it runs when {escape(plain(who))} picks it up")
            if not wait:
                return asked, False
            row = await wait_for(
                people,
                UUID(asked["id"]),
                screen=screen if follow else None,
                interrupted=interrupted,
                on_cancel=lambda: screen.note("cancelling it; Ctrl-C again leaves at once"),
            )
            return row, interrupted.is_set() and _given_up(row)


def _given_up(row: dict[str, Any]) -> bool:
    return row["status"] not in FINAL or (row.get("result") or {}).get("reason") == Reason.CANCELLED


def _show(row: dict[str, Any], screen: Screen, *, output: bool) -> None:
    result = row.get("result") or {}
    if output:
        screen.show("stdout", str(result.get("stdout_tail") or ""))
        screen.show("stderr", str(result.get("stderr_tail") or ""))
        screen.close()
    if row["status"] not in FINAL:
        screen.note("it has not ended yet; its agent ends it as soon as it hears of the cancellation")
        return
    style = STATUS_STYLE.get(row["status"], "")
    words = f": {escape(plain(str(result['error'])))}" if result.get("error") else ""
    stderr.print(f"[{style}]{row['status']}[/] after {duration(result.get('duration_ms'))}{words}")
