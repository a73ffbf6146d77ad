"""The jobs of the configuration in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.model import Job


class Jobs(Protocol):
    """The jobs of the configuration in force; replaced whole on reload."""

    @property
    def revision(self) -> int:
        """Grows by one with every accepted reload; from 1."""
        ...

    @property
    def valid(self) -> bool:
        """False while the agent has never had a valid configuration of its own (then no deletion is synced)."""
        ...

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        ...

    def all(self) -> Sequence[Job]:
        """Every job in file order."""
        ...

    async def wait_changed(self, revision: int) -> int:
        """Return the new revision as soon as it is no longer `revision`."""
        ...
