"""The command line: `cronmirror --help` alone is enough to get going."""

from __future__ import annotations

import sys

import typer

from agent.app.logs import configure
from agent.cli import (
    check,
    dashboard,
    demo,
    exec_,
    install,
    jobs,
    login,
    logs,
    migrate,
    pause,
    request,
    resume,
    run,
    runs,
    schema,
    status,
    uninstall,
    version,
)
from agent.cli.boundary import guarded

EPILOG = """\
**First steps.** `cronmirror demo` shows everything working on this machine, without an account. For your own
project: write `config.yaml` (start from `config.example.yaml`), `cronmirror check`, `cronmirror migrate --print` for
Supabase's SQL editor, `cronmirror login`, `cronmirror run`, and once it runs as you like, `cronmirror install`.

**Exit codes.** 0 it worked · 1 what ran ended in an error · 2 wrong usage or configuration · 3 Supabase can't be
reached · 4 credentials · 5 refused · 70 a bug · 130 Ctrl-C
"""

app = typer.Typer(
    name="cronmirror",
    help="Run a YAML file's jobs on schedule, mirror them into Supabase, run them when somebody presses **Run**.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks. May stand anywhere on the line."),
) -> None:
    """Options of every verb."""
    del debug  # read by main(), for it has to be known before Typer parses anything


_SEE = "See it work"
_SET_UP = "Set up"
_WORK = "Run and look"
_SERVICE = "As a service"

app.command("demo", rich_help_panel=_SEE)(demo.demo)
app.command("check", rich_help_panel=_SET_UP)(check.check)
app.command("schema", rich_help_panel=_SET_UP)(schema.schema)
app.command("migrate", rich_help_panel=_SET_UP)(migrate.migrate)
app.command("login", rich_help_panel=_SET_UP)(login.login)
app.command("run", rich_help_panel=_WORK)(run.run)
app.command("dashboard", rich_help_panel=_WORK)(dashboard.dashboard)
app.command("jobs", rich_help_panel=_WORK)(jobs.jobs)
app.command("request", rich_help_panel=_WORK)(request.request)
app.command("exec", rich_help_panel=_WORK)(exec_.exec_)
app.command("runs", rich_help_panel=_WORK)(runs.runs)
app.command("logs", rich_help_panel=_WORK)(logs.logs)
app.command("pause", rich_help_panel=_WORK)(pause.pause)
app.command("resume", rich_help_panel=_WORK)(resume.resume)
app.command("install", rich_help_panel=_SERVICE)(install.install)
app.command("uninstall", rich_help_panel=_SERVICE)(uninstall.uninstall)
app.command("status", rich_help_panel=_SERVICE)(status.status)
app.command("version", rich_help_panel=_SERVICE)(version.version)


def main() -> None:
    """Entry point of the `cronmirror` command; leaves the process with a documented exit code."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    configure(level="warning", style="console")
    guarded(lambda: app(args=arguments, prog_name="cronmirror", standalone_mode=True), debug=debug)
