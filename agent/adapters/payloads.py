"""Payloads as files for the runs that need them (`ports.Payloads`).

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
    """One JSON file per run in a folder of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def fault(self, schema: Mapping[str, Json], payload: Json) -> str | None:
        """None when `payload` fits, else one sentence: `payload.width: 0 is less than the minimum of 1`."""
        return payload_fault(schema, payload)

    def write(self, run_id: UUID, payload: Json) -> str:
        """Write JSON to a file only we can read; return its absolute path. Raises `StateError`."""
        place = self._place(run_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(place, "w", encoding="ascii", opener=lambda name, _flags: os.open(name, flags, 0o600)) as file:
                json.dump(payload, file)
        except OSError as err:
            raise StateError(f"the payload cannot be written to {place}: {err.strerror}") from err
        return str(place)

    def remove(self, run_id: UUID) -> None:
        """Remove that file; silent when there is none."""
        try:
            self._place(run_id).unlink(missing_ok=True)
        except OSError as err:
            raise StateError(f"the payload {self._place(run_id)} cannot be removed: {err.strerror}") from err

    def _place(self, run_id: UUID) -> Path:
        return self._folder / f"{run_id}.json"
