"""Options that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.model import Json

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="CRONMIRROR_CONFIG",
        help="The YAML file. Default: ./config.yaml, else ~/.config/cronmirror/config.yaml.",
        show_default=False,
    ),
]

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="Where the agent keeps its outbox, history and session. "
        "Default: a folder of the project's own below $CRONMIRROR_STATE_DIR, else in the system's place for it.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


def payload_of(text: str | None) -> Json:
    """The payload that was typed, as JSON. Raises `typer.BadParameter` with the place of the mistake."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        where = f"line {err.lineno} column {err.colno}"
        raise typer.BadParameter(f"--payload is not JSON ({err.msg} at {where}); try '{{\"width\": 640}}'") from err
