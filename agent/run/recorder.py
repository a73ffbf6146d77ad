"""Reports that must not get lost: kept in memory and offered to the journal until it takes them."""

from __future__ import annotations

import structlog

from agent.errors import StateError
from agent.model import PlannedRun, Report
from agent.ports import Clock, RunJournal

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

log = structlog.get_logger()


class Recorder:
    """Commits what has happened. A full disk delays it, loudly; only the end of this process can lose it."""

    def __init__(self, journal: RunJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def record(self, report: Report, *, retry: PlannedRun | None = None) -> None:
        """Return after the commit, however long that takes."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await self._journal.record(report, retry=retry)
            except StateError as err:
                why = str(err)
            log.error(
                "a run could not be recorded, it is tried again; is the disk full?",
                job=report.job_id,
                run=str(report.run_id),
                status=report.status,
                error=why,
                again_in_s=wait_s,
            )
            await self._clock.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
