"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
        envvar="CRONMIRROR_STATE_DIR",
        help="Where the agent keeps its outbox, history and session. Default: the system's place for it.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]
