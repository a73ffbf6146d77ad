"""Where the stack of this machine is kept, and how the verbs refer to it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.app.place import state_folder
from agent.localstack.home import Home

DirOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        envvar="CRONMIRROR_LOCAL_DIR",
        help="The stack's folder. Default: `local-stack` beside the agents' state.",
        show_default=False,
    ),
]


def home_in(folder: Path | None) -> Home:
    """The named folder's, else this person's."""
    return Home((folder or state_folder("local-stack")).expanduser().absolute())


def command(home: Home, *words: str) -> str:
    """A command line to copy that means this stack."""
    ours = sys.argv[0] if Path(sys.argv[0]).name == "cronmirror" else "cronmirror"
    where = [] if home.folder == home_in(None).folder else ["--dir", str(home.folder)]
    if "CRONMIRROR_LOCAL_DIR" in os.environ and Path(os.environ["CRONMIRROR_LOCAL_DIR"]).absolute() == home.folder:
        where = []
    return shlex.join([ours, "local", words[0], *where, *words[1:]])
