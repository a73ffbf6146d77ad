"""A look at what the journal knows of the agent's state, beside a running agent or without one. Never writes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.adapters.sqlite.opening import explained, open_reader
from agent.adapters.sqlite.statements import SQL


async def read_notes(path: Path, *keys: str) -> Mapping[str, str]:
    """Those of these notes that there are. Raises `StateError`."""
    return await asyncio.to_thread(_read_notes, path, keys)


def _read_notes(path: Path, keys: Sequence[str]) -> Mapping[str, str]:
    if not path.exists():
        return {}
    try:
        with contextlib.closing(open_reader(path)) as connection:
            rows = [(key, connection.execute(SQL["get_note"], {"key": key}).fetchone()) for key in keys]
            return {key: str(row["value"]) for key, row in rows if row is not None}
    except sqlite3.Error as error:
        raise explained(error, path) from error
