"""Payloads and tokens as files for the runs that need them (`ports.Payloads`).

Whether a payload fits is decided by agent.config.payload; here it is written where only we can read it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from agent.config.payload import payload_fault
from agent.errors import StateError
from agent.model import Json


class PayloadFiles:
    """At most a JSON file and a token per run, in a folder of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def fault(self, schema: Mapping[str, Json], payload: Json) -> str | None:
        """None when `payload` fits, else one sentence: `payload.width: 0 is less than the minimum of 1`."""
        return payload_fault(schema, payload)

    def write(self, run_id: UUID, payload: Json) -> str:
        """Write JSON to a file only we can read; return its absolute path. Raises `StateError`."""
        return self._write(self._folder / f"{run_id}.json", json.dumps(payload))

    def write_token(self, run_id: UUID, token: str) -> str:
        """Write the token alone; return the file's absolute path. Raises `StateError`."""
        return self._write(self._folder / f"{run_id}.token", token)

    def remove(self, run_id: UUID) -> None:
        """Remove the run's files; silent when there are none."""
        for place in (self._folder / f"{run_id}.json", self._folder / f"{run_id}.token"):
            try:
                place.unlink(missing_ok=True)
            except OSError as err:
                raise StateError(f"the payload {place} cannot be removed: {err.strerror}") from err

    def _write(self, place: Path, text: str) -> str:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(place, "w", encoding="utf-8", opener=lambda name, _flags: os.open(name, flags, 0o600)) as file:
                file.write(text)
        except OSError as err:
            raise StateError(f"the payload cannot be written to {place}: {err.strerror}") from err
        return str(place)
