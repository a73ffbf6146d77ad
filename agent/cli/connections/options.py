"""What the verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.errors import CronmirrorError, NeedsSignIn, TemporaryError
from agent.model import Failure, FailureKind

ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id in `connections:`.")]


def failed(connection_id: str, failure: Failure) -> CronmirrorError:
    """The failure as an error: later again, or another sign-in."""
    said = f"{connection_id}: {failure.message}"
    if failure.kind is FailureKind.PERMANENT:
        return NeedsSignIn(said)
    wait = f"Try again in {failure.retry_after_s:.0f} s." if failure.retry_after_s else "Try again later."
    return TemporaryError(said, retry_after_s=failure.retry_after_s, hint=wait)
