"""The dashboard expands schedules in the browser; what it is tested by is what the agent does."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from agent.model import Schedule, ScheduleKind
from agent.schedule.timetable import slots_between

VECTORS = Path(__file__).parents[2] / "web/src/lib/slots.vectors.json"


def test_the_pages_vectors_are_what_the_agent_does() -> None:
    for case in json.loads(VECTORS.read_text()):
        schedule = Schedule(kind=ScheduleKind.CRON, expr=case["expr"], timezone=case["tz"])
        slots = [datetime.fromisoformat(slot) for slot in case["slots"]]

        assert slots_between(schedule, datetime.fromisoformat(case["after"]), slots[-1], len(slots) + 1) == slots, case
