"""`cronmirror status`."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import typer
from rich.markup import escape

from agent.app.place import Place, open_place
from agent.app.standing import Standing, look
from agent.cli.install import DryRun
from agent.cli.options import ConfigOption, JsonOption, StateOption
from agent.cli.output import print_json, stderr, stdout
from agent.cli.services import service_manager, spec_of
from agent.cli.standing import lines_of
from agent.errors import ServiceError
from agent.service import Status

STYLE = {"running": "green", "failed": "red"}


def status(
    config: ConfigOption = None, state_dir: StateOption = None, as_json: JsonOption = False, dry_run: DryRun = False
) -> None:
    """Show how the agent of this box is: service, pauses, outages, outbox, what runs now and next. Works offline.

    Exits 0 when an agent runs, else 1.
    """
    place, now = open_place(config, state_dir), datetime.now(UTC)
    if dry_run:
        manager = service_manager()
        stderr.print(f"[dim]· would ask {manager.name} about {escape(str(manager.file(spec_of(place))))}[/]")
        return
    service, standing = _service(place), asyncio.run(look(place, now))
    if as_json:
        print_json(_facts(place, service, standing))
    else:
        for name, text, style in [*_service_lines(service), *lines_of(standing, now)]:
            stdout.print(f"{name:<11}" + (f"[{style}]{escape(text)}[/]" if style else escape(text)))
        stdout.print(f"{'state':<11}{escape(str(place.state.path))}")
    if standing.process is None and (service is None or service.state != "running"):
        raise typer.Exit(1)


def _service(place: Place) -> Status | None:
    """What the service manager says; None on a machine without one."""
    try:
        return service_manager().status(spec_of(place))
    except ServiceError:
        return None


def _service_lines(service: Status | None) -> list[tuple[str, str, str]]:
    if service is None:
        return [("service", "this machine has neither launchd nor systemd", "")]
    detail = f" ({service.detail})" if service.detail else ""
    return [("service", f"{service.label}: {service.state}{detail}", STYLE.get(service.state, "yellow"))]


def _facts(place: Place, service: Status | None, standing: Standing) -> dict[str, Any]:
    """For scripts."""
    journal = standing.journal
    about = dataclasses.asdict(service) | {"file": str(service.file)} if service else {"installed": False}
    return {
        **about,
        "state_dir": str(place.state.path),
        "agent": standing.process,
        "box_paused": standing.box_pause and dataclasses.asdict(standing.box_pause),
        "operators_paused": standing.operators_pause and dataclasses.asdict(standing.operators_pause),
        "life": standing.life,
        "last_outage": standing.outage,
        "outbox": {"reports": journal.waiting, "bytes": journal.bytes, "oldest_at": journal.oldest_at},
        "set_aside": journal.aside_count,
        "running": [{"run_id": run.run_id, "job_id": run.job_id, "since": run.started_at} for run in journal.running],
        "next": [{"job_id": job_id, "at": at} for job_id, at in standing.upcoming],
    }
