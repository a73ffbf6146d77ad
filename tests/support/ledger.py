"""What really ran, counted against what the database says: the promises of DESIGN §4 as one list of broken ones.

Jobs append their run id and request id to a file; nothing that an agent or a server believes is taken for true.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.support.stack import Project
from tests.support.waiting import wait_until

FAILING_ATTEMPTS = 3
AGENT_ENDED_IT = frozenset({"lost", "shutdown"})
"""Reasons a request of a good job may end with where its agent is killed or stopped."""

Row = dict[str, Any]


class Ledger:
    """`jobs` belongs into the YAML; `press` asks for a run of one of `REQUESTED`."""

    REQUESTED = ("quick", "slow", "serial", "failing")

    def __init__(self, project: Project, folder: Path) -> None:
        self._project = project
        self._marks = folder / "marks"
        self._asked: list[str] = []
        mark = f"echo $CRONMIRROR_RUN_ID $CRONMIRROR_REQUEST_ID >> {self._marks}"
        self.jobs = f"""limits: {{concurrency: 6}}
drain_timeout: 10s
jobs:
  quick: {{shell: '{mark}', overlap: allow}}
  slow: {{shell: '{mark}; sleep 1', overlap: allow}}
  serial: {{shell: '{mark}; sleep 0.1', overlap: queue}}
  failing: {{shell: '{mark}; exit 1', overlap: allow, retry: {{max_attempts: {FAILING_ATTEMPTS}, base: 200ms}}}}
  tick: {{every: 1s, shell: '{mark}'}}
"""

    def press(self, job: str) -> str:
        """Insert a request as a page does; its id."""
        (row,) = self._project.sql(
            "insert into cron_run_requests (project_id, job_id, requested_by) values (%s, %s, 'ui') returning id::text",
            *(self._project.project_id, job),
        )
        self._asked.append(row["id"])
        return str(row["id"])

    async def settled(self, timeout: float = 40) -> None:
        """Wait until every request has ended."""
        await wait_until(lambda: {row["status"] for row in self.requests()} <= {"done", "error"}, timeout)

    def requests(self) -> list[Row]:
        return self._project.sql(
            "select *, id::text as id from cron_run_requests where project_id = %s", self._project.project_id
        )

    def runs(self) -> list[Row]:
        return self._project.sql(
            "select *, id::text as id, request_id::text as request_id from cron_runs where project_id = %s",
            self._project.project_id,
        )

    def broken_promises(self) -> list[str]:
        """One sentence each; to be asked when the agent has stopped."""
        requests, runs = self.requests(), self.runs()
        ran = [line.split() for line in self._marks.read_text().splitlines()] if self._marks.exists() else []
        by_run, by_request = Counter(mark[0] for mark in ran), Counter(mark[1] for mark in ran if len(mark) > 1)
        told = Counter(run["request_id"] for run in runs)
        broken = [f"request {each} is gone" for each in set(self._asked) - {row["id"] for row in requests}]
        for row in requests:
            broken += _of_request(row, by_request[row["id"]], told[row["id"]])
        broken += [f"run {each} ran, and nobody was told" for each in by_run.keys() - {run["id"] for run in runs}]
        for run in runs:
            broken += _of_run(run, by_run[run["id"]])
        return broken + _of_slots(runs) + self._left_behind()

    def _left_behind(self) -> list[str]:
        leases = self._project.sql(
            "select l.request_id from cron_leases l join cron_run_requests r on r.id = l.request_id "
            "where r.project_id = %s",
            self._project.project_id,
        )
        broken = [f"request {lease['request_id']} has a lease" for lease in leases]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("CRONMIRROR_PROJECT") == self._project.project_id:
                    broken.append(f"process {process.pid} is alive: {process.cmdline()}")
        return broken


def _of_request(row: Row, ran: int, told: int) -> list[str]:
    what, reason = f"{row['job_id']} {row['id']}", (row["result"] or {}).get("reason")
    failing = row["job_id"] == "failing"
    broken = []
    if row["status"] not in ("done", "error"):
        broken.append(f"{what} is stuck: {row['status']}, attempt {row['attempts']}, claim {row['claims']}")
    if ran > row["attempts"] or row["attempts"] > (FAILING_ATTEMPTS if failing else 1):
        broken.append(f"{what} ran {ran} times, attempts {row['attempts']}")
    if row["status"] == "done" and ran != 1:
        broken.append(f"{what} is done and ran {ran} times")
    if reason == "exit_code" and ran != FAILING_ATTEMPTS:
        broken.append(f"{what} failed for good after {ran} runs")
    if row["status"] == "error" and reason not in AGENT_ENDED_IT | ({"exit_code"} if failing else set()):
        broken.append(f"{what} ended as {reason}: {row['result']}")
    if told != row["attempts"]:
        broken.append(f"{what} has {told} runs for {row['attempts']} attempts")
    return broken


def _of_run(run: Row, ran: int) -> list[str]:
    what = f"run {run['id']} of {run['job_id']}, {run['status']},"
    broken = [f"{what} ran {ran} times"] if ran > 1 or (run["status"] == "ok" and not ran) else []
    if run["status"] == "running":
        broken.append(f"{what} never ended")
    if run["status"] in ("missed", "skipped") and (ran or not run["reason"]):
        broken.append(f"{what} ran {ran} times, cause {run['reason']}")
    return broken


def _of_slots(runs: list[Row]) -> list[str]:
    """Every second between the first and the last slot of `tick` has exactly one row."""
    slots = Counter(run["scheduled_for"] for run in runs if run["job_id"] == "tick")
    if not slots:
        return ["the schedule never ran"]
    first, last = min(slots), max(slots)
    wanted = (first + timedelta(seconds=n) for n in range(round((last - first).total_seconds()) + 1))
    return [f"slot {at} has {slots[at]} rows" for at in wanted if slots[at] != 1]
