"""`cronmirror check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from agent.app.reading import find_config, read_config
from agent.cli.options import ConfigOption, JsonOption
from agent.cli.output import plain, print_json, stderr, stdout
from agent.errors import ConfigError


def check(
    file: Annotated[
        Path | None, typer.Argument(help="The YAML file; default as for --config.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration: every mistake at once, with its line and what to do. Runs nothing, sends nothing."""
    path = find_config(file or config, os.environ)
    try:
        found = read_config(path, os.environ, private=False).config
    except ConfigError as err:
        if as_json:
            problems = [{"file": p.file, "line": p.line, "path": p.path, "message": p.message} for p in err.problems]
            print_json({"ok": False, "problems": problems})
            raise typer.Exit(2) from err
        raise
    warnings = [*found.warnings, *found.missing_for_run()]
    others = {job.id: sorted(lacking) for job in found.jobs if (lacking := found.lacking(job))}
    if as_json:
        print_json(
            {
                "ok": True,
                "project": found.project,
                "jobs": len(found.jobs),
                "warnings": [str(w) for w in warnings],
                "left_to_others": others,
            }
        )
        return
    for warning in warnings:
        stderr.print(f"[yellow]warning:[/] {escape(plain(str(warning)))}")
    stdout.print(f"{path.name} is fine: project {escape(found.project)}, {len(found.jobs)} jobs")
    for job_id, tags in others.items():
        stdout.print(f"{escape(job_id)} is left to other agents: `agent.tags` has no {escape(', '.join(tags))}")
