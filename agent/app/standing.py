"""How the agent of this box stands, read from its state directory: no network, and no agent has to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.adapters.sqlite.glance import Glance, glance
from agent.app.pausing import box_pause
from agent.app.place import Place
from agent.model import Json, Pause
from agent.report.outages import LIFE_NOTE, OUTAGE_NOTE
from agent.report.pauses import NOTE, in_force, parse
from agent.schedule.timetable import next_run_at

NEXT_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One look."""

    process: str | None
    """`process 123` where an agent runs."""
    box_pause: Pause | None
    operators_pause: Pause | None
    """As the last beat told."""
    life: Mapping[str, Json]
    """The note of report/outages.py: `{"alive", "answers", "since", "why", "realtime", "skew_ms"}`, or empty."""
    outage: Mapping[str, Json] | None
    journal: Glance
    upcoming: Sequence[tuple[str, datetime]]
    """The next runs by schedule: job id and instant."""


async def look(place: Place, now: datetime) -> Standing:
    """Raises `StateError` where the journal cannot be read."""
    found = await glance(place.state.database, NOTE, LIFE_NOTE, OUTAGE_NOTE)
    told = parse(found.notes.get(NOTE))
    slots = [(job.id, next_run_at(job, now)) for job in place.config.jobs if job.enabled]
    upcoming = sorted(((job_id, at) for job_id, at in slots if at is not None), key=lambda each: each[1])
    return Standing(
        process=place.state.holder(),
        box_pause=box_pause(place.state),
        operators_pause=told if told and in_force(told, now) else None,
        life=json.loads(found.notes.get(LIFE_NOTE, "{}")),
        outage=json.loads(found.notes.get(OUTAGE_NOTE, "null")),
        journal=found,
        upcoming=upcoming[:NEXT_SHOWN],
    )
