"""`cronmirror notify test`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.notices import try_channel
from agent.app.reading import find_config, read_config
from agent.cli.options import ConfigOption
from agent.cli.output import plain, stderr, stdout
from agent.config.config import Config
from agent.errors import ConfigError, Problem
from agent.model import Channel
from agent.run.redact import Redactor

notify = typer.Typer(help="Channels by which people are told (`notify:` in the YAML).", no_args_is_help=True)


@notify.callback()
def _verbs() -> None:
    """Channels by which people are told."""


@notify.command("test")
def send_test(
    channels: Annotated[
        list[str] | None, typer.Argument(help="Names of channels; default: every one.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Send a test message to channels of the YAML, now, past filters and quiet hours. Exits 1 where one fails."""
    found = read_config(find_config(config, os.environ), os.environ, private=True).config
    chosen = _chosen(found, channels or [])
    redact = Redactor(found.secrets)
    failed = False
    for channel, error in zip(chosen, asyncio.run(_try(chosen, found)), strict=True):
        if error is None:
            stdout.print(f"{escape(channel.name)}: [green]sent[/]")
        else:
            failed = True
            stderr.print(f"{escape(channel.name)}: [red]not sent[/]: {escape(plain(redact(error)))}")
    if failed:
        raise typer.Exit(1)


async def _try(chosen: list[Channel], config: Config) -> list[str | None]:
    return await asyncio.gather(*(try_channel(channel, config) for channel in chosen))


def _chosen(config: Config, names: list[str]) -> list[Channel]:
    """Raises `ConfigError` where there is none, or none of that name."""
    known = {channel.name: channel for channel in config.notify.channels}
    if not known:
        said = "has no channels; write e.g. `notify: {channels: {phone: ntfy://your-topic}}`"
        raise ConfigError([Problem(file=config.file, path="notify.channels", message=said)])
    for name in names:
        if name not in known:
            said = f'there is no channel "{name}"; there are: {", ".join(known)}'
            raise ConfigError([Problem(file=config.file, path="notify.channels", message=said)])
    return [known[name] for name in names] or list(known.values())
