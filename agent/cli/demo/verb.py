"""The verb: options, progress, the two ways to look, and an end that leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.app.place import state_folder
from agent.cli.demo import once as timeline
from agent.cli.demo import view
from agent.cli.options import JsonOption
from agent.cli.output import print_json, stderr, stdout
from agent.errors import StackError

if TYPE_CHECKING:
    from agent.cli.demo.world import World

PROJECT = "demo"
ONCE_JOB = "hello"


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
) -> None:
    """See it work on this machine: embedded Postgres and gateway, a project, a real agent with six jobs.

    Needs no account and no Docker. Everything it starts ends with it (Ctrl-C); it says where it keeps things.
    """
    place = (folder or _default_folder()).expanduser().absolute()
    code = asyncio.run(_until_stopped(_demo(place, port=port, fresh=fresh, once=once, as_json=as_json)))
    raise typer.Exit(code)


async def _until_stopped(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`; SIGINT and SIGTERM cancel it once, and it cleans up."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return 0


async def _demo(place: Path, *, port: int | None, fresh: bool, once: bool, as_json: bool) -> int:
    try:
        from agent.cli.demo.world import World, erase  # noqa: PLC0415 - the embedded stack is an extra that may be absent
    except ModuleNotFoundError as err:
        raise StackError(
            f"the demo needs the embedded stack, and {err.name} is not installed",
            hint="Install it with: pip install 'cronmirror[local]'",
        ) from err
    say = _progress(quiet=as_json)
    say(f"the demo keeps everything in {place}")
    if fresh:
        erase(place)
    async with World(place, port=port, say=say) as world:
        if not once:
            await _live(world)
            return 0
        answer = await timeline.press_and_wait(world.operator, ONCE_JOB, world.agent_log)
        print_json(answer) if as_json else timeline.show(answer)
        return 0 if answer["status"] == "done" else 1


async def _live(world: World) -> None:
    await world.operator.press_run(ONCE_JOB)
    command = f"{_ourselves()} %s --config {shlex.quote(str(world.config))}"
    if world.folder != _default_folder():
        command += f" --state-dir {shlex.quote(str(world.folder))}"
    stdout.print(f"gateway {world.url} · state in {world.folder} · Ctrl-C ends everything", markup=False)
    stdout.print("Try in another terminal:")
    for line in ("request slow --wait", "request resize-image --payload '{\"width\": 640}' --wait"):
        stdout.print("  " + command % line, markup=False)
    stdout.print(f"  and edit {world.config}: the agent follows within a second", markup=False)
    await view.watch(world.operator)


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
