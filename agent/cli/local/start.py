"""`cronmirror local start`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import typer
from rich.markup import escape

from agent.adapters.files import StateDir
from agent.app.logs import configure
from agent.cli.extras import embedded_stack
from agent.cli.local.detach import detached
from agent.cli.local.folder import DirOption, home_in
from agent.cli.local.options import (
    CertificateOption,
    DetachOption,
    HostNameOption,
    KeyOption,
    ListenOption,
    NoTlsOption,
    OldPostgresOption,
    PortOption,
    ProjectOption,
)
from agent.cli.local.steps import next_steps
from agent.cli.output import stderr, stdout
from agent.cli.stopping import until_stopped
from agent.localstack.home import Home, HomeSettings


def start(
    *,
    folder: DirOption = None,
    detach: DetachOption = False,
    port: PortOption = None,
    project: ProjectOption = None,
    listen: ListenOption = None,
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    no_tls: NoTlsOption = False,
    host_name: HostNameOption = None,
    old_postgres: OldPostgresOption = None,
) -> None:
    """Start the stack: in the foreground until Ctrl-C, or in the background with `--detach`.

    What is in it stays, whatever happens to the process. Migrations of a newer version are applied before anything is
    served.
    """
    home = home_in(folder)
    StateDir(home.folder)  # ours alone, or refused: who may write here decides what runs
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key belong together")
    older = old_postgres and old_postgres.expanduser().absolute()
    said = {"port": port, "project": project, "listen": listen, "host_name": host_name}
    said |= {"tls_certificate": _absolute(tls_cert), "tls_key": _absolute(tls_key)}
    wanted = _wanted(home.settings, said, no_tls=no_tls)
    if warning := wanted.listening().warning:
        stderr.print(f"[bold yellow]warning:[/] [bold]{escape(warning)}[/]")
    if detach:
        asked = any(value is not None for value in said.values()) or no_tls
        _in_the_background(home, wanted if asked else None, older)
        return
    with embedded_stack():
        from agent.cli.local.serving import serve  # noqa: PLC0415
    if not sys.stderr.isatty():
        configure(level="info", style="auto")
    raise typer.Exit(asyncio.run(until_stopped(serve(home, wanted, older))))


def _wanted(settings: HomeSettings, said: Mapping[str, object], *, no_tls: bool) -> HomeSettings:
    """What is remembered, and what was said now."""
    if no_tls:
        settings = replace(settings, tls_certificate=None, tls_key=None)
    return replace(settings, **{name: value for name, value in said.items() if value is not None})  # type: ignore[arg-type]  # the options' own types


def _absolute(path: Path | None) -> str | None:
    return str(path.absolute()) if path else None


def _in_the_background(home: Home, wanted: HomeSettings | None, older: Path | None) -> None:
    options = _options(wanted) if wanted else []
    if older:
        options += ["--old-postgres", str(older)]
    url = detached(home, options)
    stdout.print(f"the local stack runs at {url} · state in {home.folder}", markup=False)
    for line in next_steps(home, nobody=asyncio.run(_nobody(home))):
        stdout.print(line, markup=False)


def _options(wanted: HomeSettings) -> list[str]:
    """The same on a command line."""
    values = {
        "--port": wanted.port,
        "--project": wanted.project,
        "--listen": wanted.listen,
        "--tls-cert": wanted.tls_certificate,
        "--tls-key": wanted.tls_key,
        "--host-name": wanted.host_name,
    }
    given = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return given if wanted.tls_certificate else [*given, "--no-tls"]


async def _nobody(home: Home) -> bool:
    with embedded_stack():
        from agent.localstack.members import Members  # noqa: PLC0415
    dsn = home.dsn()
    return dsn is not None and not await Members(dsn).all()
