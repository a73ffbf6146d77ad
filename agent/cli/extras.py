"""What is not in every installation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.errors import StackError


@contextlib.contextmanager
def embedded_stack() -> Iterator[None]:
    """Around an import of the embedded stack. Raises `StackError` where its packages are missing."""
    try:
        yield
    except ModuleNotFoundError as err:
        raise StackError(
            f"this needs the embedded stack, and {err.name} is not installed",
            hint="Install it with: pip install 'cronmirror[local]'",
        ) from err
