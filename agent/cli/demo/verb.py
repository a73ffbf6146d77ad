"""The verb: options, progress, the two ways to look, and an end that leaves nothing running."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from agent.app.dashboard import show
from agent.app.place import open_state, state_folder
from agent.cli.demo import once as timeline
from agent.cli.demo import view
from agent.cli.demo.page import PageBuild
from agent.cli.extras import embedded_stack
from agent.cli.options import JsonOption
from agent.cli.output import print_json, stderr, stdout
from agent.cli.stopping import until_stopped

if TYPE_CHECKING:
    from agent.cli.demo.world import World

PROJECT = "demo"
ONCE_JOB = "hello"
TRY = (
    "request slow --follow",
    "request resize-image --payload '{\"width\": 640}' --wait",
    "logs slow --follow",
    "status",
    "pause --until 10m",
    "resume",
)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the person said on the command line."""

    folder: Path
    port: int | None
    fresh: bool
    once: bool
    as_json: bool
    opens: bool
    build_page: str | None


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Press Run once, print the timeline, exit 0 when it is done.")
    ] = False,
    as_json: JsonOption = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew: remove the demo's folder first.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="The demo's folder.", show_default=False)] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help="The gateway's port. Default: the first free one from 54321 on.", show_default=False
        ),
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open the dashboard in the browser.")] = False,
    build_page: Annotated[
        str | None,
        typer.Option("--build-page", metavar="COMMAND", hidden=True, help="Run this meanwhile; `make demo` does."),
    ] = None,
) -> None:
    """See it work on this machine: embedded Postgres and gateway, a project, a real agent with six jobs.

    Needs no account and no Docker. Everything it starts ends with it (Ctrl-C); it says where it keeps things.
    """
    wishes = Wishes(
        folder=(folder or _default_folder()).expanduser().absolute(),
        port=port,
        fresh=fresh,
        once=once,
        as_json=as_json,
        opens=opens,
        build_page=None if once else build_page,
    )
    raise typer.Exit(asyncio.run(until_stopped(_demo(wishes))))


async def _demo(wishes: Wishes) -> int:
    with embedded_stack():
        from agent.cli.demo.world import World, erase  # noqa: PLC0415
    say = _progress(quiet=wishes.as_json)
    say(f"the demo keeps everything in {wishes.folder}")
    if wishes.fresh:
        erase(wishes.folder)
    state = open_state(wishes.folder, PROJECT)  # ours alone, or refused: what is in it decides what runs
    async with (
        PageBuild(wishes.build_page, log=state.path / "page.log") as build,
        World(wishes.folder, port=wishes.port, say=say) as world,
    ):
        if not wishes.once:
            await _live(world, build, opens=wishes.opens)
            return 0
        answer = await timeline.press_and_wait(world.operator, ONCE_JOB, world.agent_log)
        print_json(answer) if wishes.as_json else timeline.show(answer)
        return 0 if answer["status"] == "done" else 1


async def _live(world: World, build: PageBuild, *, opens: bool) -> None:
    await world.operator.press_run(ONCE_JOB)
    command = f"{_ourselves()} %s --config {shlex.quote(str(world.config))}"
    if world.folder != _default_folder():
        command += f" --state-dir {shlex.quote(str(world.folder))}"
    stdout.print(f"gateway {world.url} · state in {world.folder} · Ctrl-C ends everything", markup=False)
    stdout.print(f"The dashboard, signed in (press Run there):\n  {world.page_link()}", markup=False)
    stdout.print("Try in another terminal:")
    for line in TRY:
        stdout.print("  " + command % line, markup=False)
    stdout.print(f"  and edit {world.config}: the agent follows within a second", markup=False)
    if build.running:
        stdout.print("The dashboard is being built; that link waits for it.")
    console = Console(highlight=False)  # one for both, so that a line stands above the live view and not in it
    told = asyncio.create_task(_tell_of_the_page(world, build, console, opens=opens), name="demo-page")
    try:
        await view.watch(world.operator, console)
    finally:
        told.cancel()


async def _tell_of_the_page(world: World, build: PageBuild, console: Console, *, opens: bool) -> None:
    """Say what became of the page, once that is known, and open it when that was asked for."""
    fault = await build.ended()
    if fault:
        console.print(
            f"the dashboard was not built: {fault} (more in {build.log})", style="yellow", markup=False, soft_wrap=True
        )
    elif build.was_long:
        console.print("the dashboard is built")
    if opens and world.has_page and not show(world.page_link(once=True)):
        console.print("there is no screen here to open a browser on")


def _default_folder() -> Path:
    """Where the agent of the project `demo` looks for its state by itself."""
    return state_folder(PROJECT)


def _ourselves() -> str:
    """How this command was called, for copying."""
    return shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == "cronmirror" else "cronmirror"


def _progress(*, quiet: bool) -> Any:
    def say(words: str) -> None:
        if not quiet:
            stderr.print(f"[dim]· {words}[/]")

    return say
