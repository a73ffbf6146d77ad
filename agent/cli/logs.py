"""`cronmirror logs`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.markup import escape

from agent.app.follow import follow_run, show_run
from agent.app.people import as_person, person_file
from agent.app.place import Place, open_place
from agent.app.runs import find_here, find_run
from agent.cli.options import ConfigOption, StateOption
from agent.cli.output import STATUS_STYLE, duration, plain, stderr
from agent.cli.terminal import Screen
from agent.errors import NeedsSignIn, Refused, TemporaryError
from agent.model import LocalRun, RunStatus


def logs(
    run: Annotated[str, typer.Argument(help="Id of a run or of its request, or its beginning; or a job.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> None:
    """Show what a run printed, while it runs or afterwards. Exits 1 when it has ended in an error.

    Asks Supabase (`cronmirror login --person` once); where that is not possible, this machine's own history answers.
    """
    place, screen = open_place(config, state_dir), Screen()
    try:
        status = asyncio.run(_logs(place, run, screen, follow=follow))
    finally:
        screen.close()
    if status not in (RunStatus.OK, RunStatus.RUNNING):
        raise typer.Exit(1)


async def _logs(place: Place, text: str, screen: Screen, *, follow: bool) -> str:
    """The run's status."""
    here = await find_here(place.state, text)
    if place.config.supabase is None or not person_file(place.state).exists():
        return _here(here, text, screen, why="you are not signed in")
    try:
        async with as_person(place.config, place.state) as people:
            found = await find_run(people, text)
            if found is None:
                return _here(here, text, screen, why=None)
            if follow and found["status"] == RunStatus.RUNNING:
                found = await follow_run(people, found, screen)
            else:
                await show_run(people, found, screen)
            _say_how_it_is(found, screen)
            return str(found["status"])
    except TemporaryError as error:
        if here is None or here.status is RunStatus.RUNNING:
            raise
        return _here(here, text, screen, why=str(error))


def _here(run: LocalRun | None, text: str, screen: Screen, *, why: str | None) -> str:
    """What this machine remembers of it. `why` Supabase was not asked, or None where it knows no such run."""
    if run is not None and run.status is not RunStatus.RUNNING:
        if why:
            screen.note(f"from this machine's history: {why}")
        screen.show("stdout", run.output or "")
        _say_how_it_is({"status": run.status, "duration_ms": run.duration_ms, "error": run.error}, screen)
        return run.status
    if why and run is not None:
        raise NeedsSignIn(f"run {run.run_id} goes on, and {why}", hint="Run `cronmirror login --person` to watch it.")
    if why:
        raise NeedsSignIn(
            f'no run "{text}" in this machine\'s history, and {why}',
            hint="Run `cronmirror login --person` to see runs of other machines.",
        )
    raise Refused(
        f'there is no run "{text}" in this project',
        hint="`cronmirror runs` and a page show ids. A request that waits has no run yet; old runs are removed.",
    )


def _say_how_it_is(run: dict[str, Any], screen: Screen) -> None:
    screen.close()
    if run["status"] == RunStatus.RUNNING:
        screen.note("it is still running; --follow goes on")
        return
    words = f": {escape(plain(str(run['error'])))}" if run.get("error") else ""
    style = STATUS_STYLE.get(run["status"], "")
    stderr.print(f"[{style}]{run['status']}[/] after {duration(run.get('duration_ms'))}{words}")
