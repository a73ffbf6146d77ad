"""The one boundary where errors become messages and exit codes.

| code | meaning |
|---|---|
| 0 | it worked |
| 1 | it worked, and what ran ended in an error (`exec`, `request --wait`, `logs`, `demo --once`) |
| 2 | wrong usage or wrong configuration |
| 3 | Supabase cannot be reached: try again later |
| 4 | credentials are missing or not accepted |
| 5 | refused: the same call would fail again |
| 70 | a bug in Cronmirror |
| 130 | ended by Ctrl-C |
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rich.markup import escape

from agent import errors
from agent.cli.output import plain, stderr

WRONG_INPUT = 2
UNREACHABLE = 3
CREDENTIALS = 4
REFUSED = 5
BUG = 70
INTERRUPTED = 130

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.ConfigError, WRONG_INPUT),
    (errors.TemporaryError, UNREACHABLE),
    (errors.CredentialsError, CREDENTIALS),
    (errors.PermanentError, REFUSED),
    (errors.CronmirrorError, BUG),
)


def exit_code(error: Exception) -> int:
    """The documented exit code of an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), BUG)


def guarded(command: Callable[[], object], *, debug: bool) -> NoReturn:
    """Run the command line and leave the process with its exit code; no traceback without `--debug`."""
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except errors.CronmirrorError as error:
        if debug:
            traceback.print_exc()
        _say(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 — this is the boundary: whatever is left is our bug
        if debug:
            traceback.print_exc()
        _say_bug(error)
        sys.exit(BUG)
    sys.exit(0)


def _say(error: errors.CronmirrorError) -> None:
    if isinstance(error, errors.ConfigError):
        for problem in error.problems:
            stderr.print(f"[red]error:[/] {escape(plain(str(problem)))}")
        if len(error.problems) > 1:
            stderr.print(f"{len(error.problems)} problems")
        return
    stderr.print(f"[red]error:[/] {escape(plain(str(error)))}")
    if error.hint:
        stderr.print(f"       {escape(plain(error.hint))}")


def _say_bug(error: Exception) -> None:
    with tempfile.NamedTemporaryFile(
        "w", prefix="cronmirror-crash-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    stderr.print(f"[red]internal error:[/] {escape(type(error).__name__)}: {escape(plain(str(error)))}")
    stderr.print(
        f"       This is a bug in Cronmirror. The details are in {Path(file.name)}; run again with --debug to see them."
    )
