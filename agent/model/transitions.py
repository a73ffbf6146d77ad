"""The one table of how runs and requests change their status. Drawn in docs/states.md, which a test compares with it.

It says what happens to a row of `cron_runs` and of `cron_run_requests`, whoever writes it: the agent's journal, the
RPCs and the sweep. What is not in the table does not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from agent.model.runs import RunStatus


class RequestStatus(StrEnum):
    """The values of `cron_run_requests.status`: four and no more (DESIGN §4.4). The finer truth is `result.reason`."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"


RUN_MOVES: Mapping[RunStatus | None, Mapping[RunStatus, str]] = {
    None: {
        RunStatus.RUNNING: "its start is committed, before anything is executed",
        RunStatus.ERROR: "its start could not be committed",
        RunStatus.CANCELLED: "cancelled while it waited for its turn",
        RunStatus.SKIPPED: "passed over: overlap, too many waiting, or refused",
        RunStatus.MISSED: (
            "missed, or its retry: agent down, asleep, busy, paused, offline, nobody signed in, "
            "its job disabled or gone"
        ),
    },
    RunStatus.RUNNING: {
        RunStatus.OK: "exit code 0",
        RunStatus.ERROR: "another exit code or answer, a signal, or it could not be started",
        RunStatus.TIMEOUT: "ended after its `timeout`",
        RunStatus.CANCELLED: "asked for, by overlap, or at shutdown",
        RunStatus.LOST: "nobody knows: the agent died, or its lease was taken",
        RunStatus.MISSED: "a slot that was won and could not begin: handed back",
        RunStatus.SKIPPED: "a slot that was won and then refused or passed over",
    },
    RunStatus.MISSED: {
        RunStatus.RUNNING: "a catch-up takes over the row of its slot",
        RunStatus.ERROR: "the catch-up's start could not be committed",
        RunStatus.CANCELLED: "the catch-up was cancelled while it waited",
    },
    RunStatus.LOST: {
        RunStatus.OK: "the agent was only cut off: its late report knows",
        RunStatus.ERROR: "same",
        RunStatus.TIMEOUT: "same",
        RunStatus.CANCELLED: "same",
    },
    RunStatus.OK: {},
    RunStatus.ERROR: {},
    RunStatus.TIMEOUT: {},
    RunStatus.CANCELLED: {},
    RunStatus.SKIPPED: {RunStatus.RUNNING: "another agent runs the slot of a shared job"},
}
"""From (None: there is no row yet) → to → why. A retry is another run with the next attempt, not a move."""

REQUEST_MOVES: Mapping[RequestStatus | None, Mapping[RequestStatus, str]] = {
    None: {RequestStatus.QUEUED: "somebody asked; a trigger makes every insert `queued`"},
    RequestStatus.QUEUED: {
        RequestStatus.RUNNING: "claimed",
        RequestStatus.ERROR: "cancelled, expired, or no such job for 10 minutes",
    },
    RequestStatus.RUNNING: {
        RequestStatus.DONE: "its run ended ok",
        RequestStatus.ERROR: "its run ended otherwise and no attempt is left, it was cancelled, or its agent was lost",
        RequestStatus.QUEUED: "another attempt after the backoff, after a rescue (`retry.on: [lost]`), or never begun",
    },
    RequestStatus.DONE: {},
    RequestStatus.ERROR: {},
}
"""From → to → why. Every move out of `running` is fenced by `(claimed_by, claims)`."""
