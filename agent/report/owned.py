"""The jobs that are this agent's to run by itself: those of the YAML without what another agent owns (`owned_by`).

Local first: until Supabase says so they all are. What it said is kept over restarts, so that a copied configuration
does not run everything twice whenever the agent starts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

import structlog

from agent.errors import StateError
from agent.model import Job
from agent.pace import first
from agent.ports import Jobs, Notes

log = structlog.get_logger()

NOTE = "owned_by"


class OwnJobs:
    """`agent.ports.Jobs` of the schedule."""

    def __init__(self, jobs: Jobs, notes: Notes) -> None:
        self._jobs = jobs
        self._notes = notes
        self._owners: dict[str, str] = {}
        self._learnt = 0
        self._changed = asyncio.Event()

    @property
    def revision(self) -> int:
        """Grows with every reload, and whenever a job becomes another agent's or ours."""
        return self._jobs.revision + self._learnt

    @property
    def valid(self) -> bool:
        """As the YAML."""
        return self._jobs.valid

    @property
    def problem(self) -> str | None:
        """One sentence for people; None when every job is ours."""
        foreign = [job_id for job_id in self._owners if self._jobs.get(job_id) is not None]
        if not foreign:
            return None
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        return (
            f"job {foreign[0]}{more} belongs to agent {self._owners[foreign[0]]}, so it does not run here by schedule: "
            "rename it, remove it from one of them, or write `placement: any` in both"
        )

    def get(self, job_id: str) -> Job | None:
        """The job, or None."""
        return None if job_id in self._owners else self._jobs.get(job_id)

    def all(self) -> Sequence[Job]:
        """Every job in file order."""
        return [job for job in self._jobs.all() if job.id not in self._owners]

    async def wait_changed(self, revision: int) -> int:
        """Return the new revision as soon as it is no longer `revision`."""
        while self.revision == revision:
            await first(self._jobs.wait_changed(self._jobs.revision), self._changed.wait())
        return self.revision

    async def load(self) -> None:
        """Take up what was known before the restart. Raises `StateError`."""
        self._owners = json.loads(await self._notes.get(NOTE) or "{}")

    async def learn(self, owners: Mapping[str, str]) -> None:
        """Job id → its owner, of all that the server refused. A note that cannot be kept is only logged."""
        if owners == self._owners:
            return
        self._owners = dict(owners)
        self._learnt += 1
        self._changed.set()
        self._changed = asyncio.Event()
        if self.problem:
            log.error("jobs do not run here: another agent owns them", problem=self.problem, jobs=self._owners)
        try:
            await self._notes.put(NOTE, json.dumps(self._owners))
        except StateError as error:
            log.warning("after a restart these jobs run here until Supabase is asked", error=str(error))
