"""SQL lives in .sql files: statements under a line `-- name: word`, their description in the comments below it."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(filename: str) -> dict[str, bytes]:
    """Name → statement (psycopg placeholders, as bytes: it is ours, not a caller's) of one file of this package."""
    text = (files("agent.localstack") / filename).read_text("utf-8")
    parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
