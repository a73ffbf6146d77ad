"""The command line: `cronmirror --help` alone is enough to get going."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer

from agent.app.logs import configure
from agent.cli.boundary import guarded

EPILOG = """\
**First steps.** `cronmirror demo` shows everything working on this machine, without an account. For your own
project: write `config.yaml` (start from `config.example.yaml`), `cronmirror check`, `cronmirror migrate --print` for
Supabase's SQL editor, `cronmirror login`, `cronmirror run`, and once it runs as you like, `cronmirror install`.

**Exit codes.** 0 it worked · 1 what ran ended in an error · 2 wrong usage or configuration · 3 Supabase can't be
reached · 4 credentials · 5 refused · 70 a bug · 130 Ctrl-C
"""

VERBS = {
    "demo": "See it work",
    "local": "See it work",
    "check": "Set up",
    "schema": "Set up",
    "migrate": "Set up",
    "login": "Set up",
    "connections": "Set up",
    "notify": "Set up",
    "run": "Run and look",
    "dashboard": "Run and look",
    "jobs": "Run and look",
    "request": "Run and look",
    "exec": "Run and look",
    "runs": "Run and look",
    "logs": "Run and look",
    "pause": "Run and look",
    "resume": "Run and look",
    "install": "As a service",
    "uninstall": "As a service",
    "status": "As a service",
    "version": "As a service",
}
"""Every verb, in the order of the help, with the heading it stands under there. Its module in this folder has its name,
and so has its function or its Typer (`exec_` for `exec`, which is a word of Python's)."""


def options(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks. May stand anywhere on the line."),
) -> None:
    """Options of every verb."""
    del debug  # read by main(), for it has to be known before Typer parses anything


def application(verbs: Sequence[str] = tuple(VERBS)) -> typer.Typer:
    """The command line with these verbs. Only their modules are imported: all of them take Python a second."""
    app = typer.Typer(
        name="cronmirror",
        help="Run a YAML file's jobs on schedule, mirror them into Supabase, run them when somebody presses **Run**.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for verb in verbs:
        name = "exec_" if verb == "exec" else verb
        module = importlib.import_module(f"agent.cli.{name}")
        found = getattr(module, name)
        if isinstance(found, typer.Typer):  # a verb with verbs of its own
            app.add_typer(found, name=verb, rich_help_panel=VERBS[verb])
        else:
            app.command(verb, rich_help_panel=VERBS[verb])(found)
    return app


def needed(arguments: Sequence[str]) -> Sequence[str]:
    """The verb that these arguments ask for; every verb, where help, completion or a mistake is to name them all."""
    asked = arguments[:1]
    return asked if asked and asked[0] in VERBS and "_CRONMIRROR_COMPLETE" not in os.environ else tuple(VERBS)


def main() -> None:
    """Entry point of the `cronmirror` command; leaves the process with a documented exit code."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    configure(level="warning", style="console")
    guarded(lambda: application(needed(arguments))(args=arguments, prog_name="cronmirror"), debug=debug)
