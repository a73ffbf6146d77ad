"""What really ran, counted against what the database says: the promises of docs/reliability.md, those that are broken.

Jobs append their run id to a file before they do anything else; nothing that an agent or a server believes is taken
for true.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg

from tests.support.stack import Project
from tests.support.waiting import wait_until

FAILING_ATTEMPTS = 3
AGENT_ENDED_IT = frozenset({"lost", "shutdown"})
"""Reasons a request of a good job may end with where its agent is killed, frozen or stopped."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


class Kind(StrEnum):
    """How a promise can be broken."""

    LOST = "lost"
    """Something asked for or due of which no trace, or no true outcome, is left."""
    DOUBLED = "doubled"
    """Something that ran, or ended, more often than it may."""
    STUCK = "stuck"
    """Something that has not ended, or was left behind: a request, a run, a process, a lease, a lock, a descriptor."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken promise, in a sentence."""

    kind: Kind
    what: str


@dataclass(frozen=True, kw_only=True)
class Work:
    """The jobs of a ledger: their YAML, and what may be expected of them."""

    yaml: str
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Attempts of jobs that fail each time; all others succeed at the first."""
    every_s: Mapping[str, int] = field(default_factory=dict)
    """Jobs with slots at whole multiples of so many seconds."""


def mark_script(folder: Path) -> Path:
    """A program for jobs: writes down who runs, then sleeps for `$1` seconds and ends with `$2`."""
    script = folder / "mark"
    said = '"$CRONMIRROR_RUN_ID ${CRONMIRROR_REQUEST_ID:--} $CRONMIRROR_JOB_ID ${CRONMIRROR_SCHEDULED_FOR:--}'
    said += ' ${CRONMIRROR_ATTEMPT:--}"'
    script.write_text(
        f'#!/bin/sh\necho {said} >> {folder / "marks"}\necho at work\nsleep "${{1:-0}}"\nexit "${{2:-0}}"\n'
    )
    script.chmod(0o755)
    return script


def usual_work(mark: Path) -> Work:
    """Four jobs to be asked for, and three with slots, of which one could be shared."""
    yaml = f"""limits: {{concurrency: 6}}
drain_timeout: 10s
jobs:
  quick: {{run: [{mark}], overlap: allow}}
  slow: {{run: [{mark}, "1"], overlap: allow}}
  serial: {{run: [{mark}, "0.1"], overlap: queue}}
  failing: {{run: [{mark}, "0", "1"], overlap: allow, retry: {{max_attempts: {FAILING_ATTEMPTS}, base: 200ms}}}}
  tick: {{every: 1s, run: [{mark}]}}
  pulse: {{every: 3s, run: [{mark}], placement: any, overlap: allow}}
  chime: {{schedule: "*/2 * * * * *", run: [{mark}, "0.2"], catch_up: all, overlap: allow}}
"""
    return Work(yaml=yaml, attempts={"failing": FAILING_ATTEMPTS}, every_s={"tick": 1, "chime": 2, "pulse": 3})


class Ledger:
    """`jobs` belongs into the YAML; `press` asks for a run of one of `REQUESTED`."""

    REQUESTED = ("quick", "slow", "serial", "failing")

    def __init__(self, project: Project, folder: Path, work: Work | None = None) -> None:
        self._project = project
        self._marks = folder / "marks"
        self.work = work or usual_work(mark_script(folder))
        self.asked: dict[str, str] = {}
        """Job by request id: those that the database has taken."""
        self._unsure: dict[str, str] = {}
        self.may_be_lost = True
        """Whether an agent was killed, frozen or stopped: only then may a request end as `lost` or `shutdown`."""
        self.other_reasons: frozenset[str] = frozenset()
        """Other true reasons why a request of a good job may end as an error here."""

    @property
    def jobs(self) -> str:
        return self.work.yaml

    def press(self, job: str) -> str:
        """Insert a request as a page does; its id. While the database is away the press is repeated by `insist`."""
        request_id = str(uuid4())
        self._unsure[request_id] = job
        self.insist()
        return request_id

    def insist(self) -> bool:
        """Press again what was not answered, under the same id, as an impatient person does; whether all of it was."""
        for request_id, job in list(self._unsure.items()):
            try:
                self._project.sql(
                    "insert into cron_run_requests (id, project_id, job_id, requested_by) values (%s, %s, %s, 'ui') "
                    "on conflict (id) do nothing",
                    *(request_id, self._project.project_id, job),
                )
            except psycopg.OperationalError:
                return False
            self.asked[request_id] = self._unsure.pop(request_id)
        return True

    async def settled(self, timeout: float = 40) -> None:
        """Wait until every request has ended."""
        await wait_until(self.insist, timeout)
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

    def marks(self) -> list[list[str]]:
        """Run, request, job, slot and attempt of everything that ran; `-` where there is none."""
        return [line.split() for line in self._marks.read_text().splitlines()] if self._marks.exists() else []

    def broken_promises(self) -> list[str]:
        """One sentence each; to be asked when the agents have stopped."""
        return [f"{each.kind}: {each.what}" for each in self.broken()]

    def broken(self) -> list[Broken]:
        """Everything that is not as docs/reliability.md says."""
        requests, runs, marks = self.requests(), self.runs(), self.marks()
        by_run, by_request = Counter(mark[0] for mark in marks), Counter(mark[1] for mark in marks)
        told = Counter(run["request_id"] for run in runs)
        gone = self.asked.keys() - {row["id"] for row in requests}
        broken = [_lost(f"request {each} of {self.asked[each]} is gone") for each in gone]
        for row in requests:
            broken += self._of_request(row, by_request[row["id"]], told[row["id"]])
        unheard = by_run.keys() - {run["id"] for run in runs}
        broken += [_lost(f"run {each} ran, and nobody was told") for each in unheard]
        for run in runs:
            broken += _of_run(run, by_run[run["id"]])
        slots = Counter((mark[2], mark[3], mark[4]) for mark in marks if mark[3] != "-")
        broken += [_doubled(f"slot {slot} ran {times} times") for slot, times in slots.items() if times > 1]
        for job, seconds in self.work.every_s.items():
            broken += _of_slots(job, seconds, runs)
        return broken + self._left_behind()

    def _of_request(self, row: Row, ran: int, told: int) -> list[Broken]:
        what, reason = f"{row['job_id']} {row['id']}", (row["result"] or {}).get("reason")
        attempts = self.work.attempts.get(row["job_id"])
        expected = self.other_reasons | (AGENT_ENDED_IT if self.may_be_lost else set())
        expected |= {"exit_code"} if attempts else set()
        broken = []
        if row["status"] not in ("done", "error"):
            broken.append(
                _stuck(
                    f"{what} is {row['status']}, attempt {row['attempts']}, claim {row['claims']}, {row['claimed_by']}"
                )
            )
        if ran > row["attempts"] or row["attempts"] > (attempts or 1):
            broken.append(_doubled(f"{what} ran {ran} times, attempts {row['attempts']}"))
        if row["status"] == "done" and ran != 1:
            broken.append((_doubled if ran else _lost)(f"{what} is done and ran {ran} times"))
        if reason == "exit_code" and ran != attempts:
            broken.append(_lost(f"{what} failed for good after {ran} runs"))
        if row["status"] == "error" and reason not in expected:
            broken.append(_lost(f"{what} ended as {reason}: {row['result']}"))
        if told != row["attempts"]:
            kind = _lost if told < row["attempts"] else _doubled
            broken.append(kind(f"{what} has {told} runs for {row['attempts']} attempts"))
        return broken

    def _left_behind(self) -> list[Broken]:
        leases = self._project.sql(
            "select l.request_id from cron_leases l join cron_run_requests r on r.id = l.request_id "
            "where r.project_id = %s",
            self._project.project_id,
        )
        broken = [_stuck(f"request {lease['request_id']} has a lease") for lease in leases]
        return broken + [_stuck(f"process {pid} is alive: {words}") for pid, words in alive(self._project.project_id)]


def alive(project_id: str) -> Sequence[tuple[int, str]]:
    """Processes of runs of this project, by what the agent puts into their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CRONMIRROR_PROJECT") == project_id:
                found.append((process.pid, " ".join(process.cmdline())))
    return found


def _lost(what: str) -> Broken:
    return Broken(kind=Kind.LOST, what=what)


def _doubled(what: str) -> Broken:
    return Broken(kind=Kind.DOUBLED, what=what)


def _stuck(what: str) -> Broken:
    return Broken(kind=Kind.STUCK, what=what)


def _of_run(run: Row, ran: int) -> list[Broken]:
    """A run that the agent's death cut short may have had no effect; none may have had two."""
    what = f"run {run['id']} of {run['job_id']}, {run['status']} ({run['reason']}),"
    broken = [_doubled(f"{what} ran {ran} times")] if ran > 1 else []
    if not ran and (run["status"] in ("ok", "timeout") or run["reason"] == "exit_code"):
        broken.append(_lost(f"{what} never ran"))
    if run["status"] == "running":
        broken.append(_stuck(f"{what} never ended"))
    if run["status"] in ("missed", "skipped") and (ran or not run["reason"]):
        broken.append(_doubled(f"{what} ran {ran} times"))
    return broken


def _of_slots(job: str, seconds: int, runs: list[Row]) -> list[Broken]:
    """Every slot of `job` between its first and its last has exactly one row of a first attempt."""
    slots = Counter(
        round((run["scheduled_for"] - EPOCH).total_seconds())
        for run in runs
        if run["job_id"] == job and run["scheduled_for"] is not None and run["attempt"] == 1
    )
    if not slots:
        return [_lost(f"the schedule of {job} never ran")]
    wanted = range(min(slots), max(slots) + seconds, seconds)
    broken = [_lost(f"slot {_at(at)} of {job} has no row") for at in wanted if not slots[at]]
    broken += [_doubled(f"slot {_at(at)} of {job} has {count} rows") for at, count in slots.items() if count > 1]
    strange = [at for at in slots if at not in wanted]
    return broken + [_doubled(f"{_at(at)} is no slot of {job}, and has a row") for at in strange]


def _at(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()
