"""`cronmirror request`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from agent.app.people import as_person, wait_for
from agent.app.place import Place, open_place
from agent.cli.options import ConfigOption, JsonOption, StateOption, payload_of
from agent.cli.output import STATUS_STYLE, duration, plain, print_json, stderr, stdout
from agent.model import Json


def request(
    job: Annotated[str, typer.Argument(help="The job's id.")],
    payload: Annotated[str | None, typer.Option("--payload", help="JSON for a job that takes one.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 0 when it is done, else 1.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a run through Supabase, as the Run button of a page does. Needs `cronmirror login --person` once."""
    place = open_place(config, state_dir)
    row = asyncio.run(_request(place, job, payload_of(payload), wait=wait, quiet=as_json))
    if as_json:
        print_json(row)
    elif wait:
        _show(row)
    if wait and row["status"] != "done":
        raise typer.Exit(1)


async def _request(place: Place, job: str, payload: Json, *, wait: bool, quiet: bool) -> dict[str, Any]:
    async with as_person(place.config, place.state) as people:
        asked = await people.request_run(job, payload)
        if not quiet:
            who = ", ".join(asked.get("agent_ids") or ()) or "an agent that serves this job"
            stderr.print(f"queued request {asked['id']}; it runs when {escape(plain(who))} picks it up")
        return await wait_for(people, UUID(asked["id"])) if wait else asked


def _show(row: dict[str, Any]) -> None:
    result = row.get("result") or {}
    stdout.print(plain(str(result.get("stdout_tail") or "")), end="", markup=False)
    stderr.print(plain(str(result.get("stderr_tail") or "")), end="", markup=False)
    style = STATUS_STYLE.get(row["status"], "")
    words = f": {escape(plain(str(result['error'])))}" if result.get("error") else ""
    stderr.print(f"[{style}]{row['status']}[/] after {duration(result.get('duration_ms'))}{words}")
