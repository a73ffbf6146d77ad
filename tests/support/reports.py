"""Reports and plans to be recorded, with as little to say as a test needs."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from agent.model import PlannedRun, Report, RunStatus, Trigger

SLOT = datetime(2026, 3, 1, 3, tzinfo=UTC)


def a_report(**values) -> Report:
    given = {"run_id": uuid4(), "job_id": "a", "trigger": Trigger.REQUEST, "status": RunStatus.OK}
    return Report(**(given | values))


def a_plan(**values) -> PlannedRun:
    given = {"run_id": uuid4(), "job_id": "a", "trigger": Trigger.SCHEDULE, "scheduled_for": SLOT, "due_at": SLOT}
    return PlannedRun(**(given | values))
