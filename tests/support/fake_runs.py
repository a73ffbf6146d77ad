"""Fakes at the ports of a run, with the ports' meaning, and short ways to make jobs, requests and runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

from agent.errors import StateError
from agent.model import Command, HttpCall, Job, Json, LocalRun, PlannedRun, Report, Request, Run, RunStatus, Trigger
from agent.ports import CancelFlag, Claim, HttpEnd, OutputSink


def a_job(job_id: str = "job", *argv: str, **fields) -> Job:
    """A job that runs `argv` (default: `true`); further fields as in `Job`."""
    return Job(**{"id": job_id, "name": job_id, "command": Command(argv=argv or ("true",)), **fields})


def a_request(job: Job, payload: Json = None, **fields) -> Request:
    return Request(
        **{
            "id": uuid4(),
            "job_id": job.id,
            "claims": 1,
            "attempts": 1,
            "max_attempts": job.retry.max_attempts,
            "payload": payload,
            **fields,
        }
    )


def a_run(job: Job, **fields) -> Run:
    """A run of the job: of a request if one is given, else of its schedule."""
    trigger = Trigger.REQUEST if fields.get("request") else Trigger.SCHEDULE
    return Run(
        **{"id": uuid4(), "job": job, "trigger": trigger, "max_attempts": job.retry.max_attempts, **fields},
    )


class FakeJournal:
    """`agent.ports.RunJournal` in memory. `full` makes every commit fail; `reports` is what was committed, in order."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.planned: dict[UUID, PlannedRun] = {}
        self.full = False

    async def record(self, report: Report, *, retry: PlannedRun | None = None) -> None:
        if self.full:
            raise StateError("disk full", hint="free some space")
        self.reports.append(report)
        self.planned.pop(report.run_id, None)
        if retry:
            self.planned[retry.run_id] = retry

    async def drop(self, run_ids: Sequence[UUID]) -> None:
        if self.full:
            raise StateError("disk full", hint="free some space")
        for run_id in run_ids:
            self.planned.pop(run_id, None)

    async def begun(self, claims: Sequence[Claim]) -> Collection[Claim]:
        return {(each.request_id, each.claims) for each in self.reports if each.request_id and each.claims} & set(
            claims
        )

    async def unfinished(self) -> Sequence[LocalRun]:
        last = {report.run_id: report for report in self.reports}
        return [_local(report) for report in last.values() if report.status is RunStatus.RUNNING]

    async def unreported_requests(self) -> Sequence[UUID]:
        return list({report.request_id for report in self.reports if report.request_id})

    def of(self, run: Run) -> list[Report]:
        """What was committed about this run, in order."""
        return [report for report in self.reports if report.run_id == run.id]


class FakePayloads:
    """`agent.ports.Payloads` over a folder: accepts what has the schema's required keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.broken = False

    def fault(self, schema: Mapping[str, Json], payload: Json) -> str | None:
        missing = [key for key in schema.get("required", []) if key not in payload]
        return f"payload.{missing[0]}: is required" if missing else None

    def write(self, run_id: UUID, payload: Json) -> str:
        if self.broken:
            raise StateError("disk full")
        path = self._folder / f"{run_id}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(payload))
        return str(path)

    def write_token(self, run_id: UUID, token: str) -> str:
        if self.broken:
            raise StateError("disk full")
        path = self._folder / f"{run_id}.token"
        path.touch(mode=0o600)
        path.write_text(token)
        return str(path)

    def remove(self, run_id: UUID) -> None:
        for kind in ("json", "token"):
            (self._folder / f"{run_id}.{kind}").unlink(missing_ok=True)

    @property
    def left(self) -> list[str]:
        """Files that nobody removed."""
        return [path.name for path in self._folder.iterdir()]


class FakeCalls:
    """`agent.ports.HttpCalls`: answers with `end`, after `says` was heard; `calls` is what was sent."""

    def __init__(self) -> None:
        self.calls: list[HttpCall] = []
        self.end = HttpEnd(status=200)
        self.says = b""

    async def send(self, call: HttpCall, timeout_s: float, sink: OutputSink, cancel: CancelFlag) -> HttpEnd:
        self.calls.append(call)
        sink.feed("stdout", self.says)
        return self.end


class FakeJobs:
    """`agent.ports.Jobs`: those given, until others are."""

    def __init__(self, *jobs: Job) -> None:
        self.revision = 1
        self.valid = True
        self._jobs = {job.id: job for job in jobs}

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def all(self) -> Sequence[Job]:
        return list(self._jobs.values())

    def replace(self, *jobs: Job) -> None:
        """A reload."""
        self._jobs = {job.id: job for job in jobs}
        self.revision += 1

    def change(self, job_id: str, **fields) -> None:
        """A reload that changes one job."""
        self._jobs[job_id] = replace(self._jobs[job_id], **fields)
        self.revision += 1

    async def wait_changed(self, revision: int) -> int:
        raise AssertionError("nobody waits for a reload here")


def _local(report: Report) -> LocalRun:
    return LocalRun(
        run_id=report.run_id,
        job_id=report.job_id,
        trigger=report.trigger,
        status=report.status,
        attempt=report.attempt,
        request_id=report.request_id,
        claims=report.claims,
        scheduled_for=report.scheduled_for,
        started_at=report.started_at,
    )
