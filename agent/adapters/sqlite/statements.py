"""Reads the `.sql` files beside it. SQL is data: named, described, and never put together from strings."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from importlib.resources import files

MIGRATIONS = ("0001_tables.sql", "0002_retention.sql", "0003_notices.sql")
"""In order; `user_version` counts those that were applied."""


def _text(name: str) -> str:
    return files("agent.adapters.sqlite").joinpath(name).read_text(encoding="utf-8")


def _queries(text: str) -> Mapping[str, str]:
    blocks = text.split("-- name: ")[1:]
    return {name.strip(): body for name, _, body in (block.partition("\n") for block in blocks)}


def statements_of(migration: str) -> list[str]:
    """The statements of one migration, in order (`executescript` would commit behind our back)."""
    found, statement = [], ""
    for line in _text(migration).splitlines(keepends=True):
        statement += line
        if line.strip() and sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found


SQL: Mapping[str, str] = _queries(_text("queries.sql"))
"""name → query, of `queries.sql`."""
