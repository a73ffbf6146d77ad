"""APScheduler 3 with its executor for coroutines; jobs in memory, or in the database that is named.

`python -m bench.rivals.apscheduler_jobs lateness COUNT LEAD_S [STORE]` or `… scale COUNT IDLE_S [STORE]` (see
`bench.lateness`).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bench.lateness import Lateness, Scale, later, main
from bench.rivals import apscheduler_job


def scheduler(count: int, instant: datetime) -> AsyncIOScheduler:
    """With `count` jobs that are due every day at `instant`, to the second, however late they can be begun."""
    made = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
    for store in sys.argv[4:]:
        made.add_jobstore("sqlalchemy", url=store)
    when = {"hour": instant.hour, "minute": instant.minute, "second": instant.second}
    for number in range(count):
        made.add_job(apscheduler_job.begin, "cron", id=f"job-{number}", replace_existing=True, **when)
    return made


async def lateness(count: int, lead_s: float) -> Lateness:
    """All of them due at once."""
    noted = Lateness(due := later(lead_s), count)
    apscheduler_job.noting[:] = [noted.note]
    made = scheduler(count, datetime.fromtimestamp(due, UTC))
    made.start()
    try:
        noted.ready()
        await noted.wait()
    finally:
        made.shutdown(wait=False)
    return noted


async def scale(count: int, idle_s: float) -> Scale:
    """None of them due for half a day."""
    figures = Scale()
    made = scheduler(count, datetime.now(UTC) + timedelta(hours=12))
    figures.loaded()
    made.start()
    await figures.rest(idle_s)
    made.shutdown(wait=False)
    return figures


if __name__ == "__main__":
    main(lateness, scale)
