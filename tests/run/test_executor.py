from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from agent.adapters.process import GroupProcesses
from agent.adapters.python_call import PROGRAM
from agent.model import Command, HttpCall, Job, Outcome, Overlap, Reason, Report, Retry, Run, RunStatus, Trigger
from agent.ports import HttpEnd, RunTokens
from agent.run import reports
from agent.run.cancel import CancelSwitch
from agent.run.executor import Edges, Executor
from agent.run.launch import Home
from agent.run.live import Redacting
from agent.run.redact import Redactor
from agent.run.slots import Slots
from tests.support.fake_runs import FakeCalls, FakeJobs, FakeJournal, FakePayloads, a_job, a_request, a_run
from tests.support.waiting import wait_until

RESULT_KEYS = {
    "ok",
    "reason",
    "exit_code",
    "duration_ms",
    "stdout_tail",
    "stderr_tail",
    "error",
    "run_id",
    "agent_id",
    "attempt",
}
SLOT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class WallClock:
    """Real time, for a real process is at work; but nobody waits before a report is tried again."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Screen:
    """What somebody watching sees."""

    def __init__(self) -> None:
        self.seen = b""

    def feed(self, stream: str, data: bytes) -> None:
        self.seen += data


class Box:
    """An executor on real processes, with the fakes around it."""

    def __init__(self, folder: Path, tokens: RunTokens | None = None) -> None:
        self.folder = folder
        self.journal = FakeJournal()
        (folder / "payloads").mkdir()
        self.payloads = FakePayloads(folder / "payloads")
        self.calls = FakeCalls()
        self.redactor = Redactor()
        self.cancel = CancelSwitch()
        self.screen = Screen()
        base_env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CRONMIRROR_PASSWORD": "of the agent"}
        self.executor = Executor(
            Edges(
                clock=WallClock(),
                processes=GroupProcesses(),
                calls=self.calls,
                journal=self.journal,
                payloads=self.payloads,
                tokens=tokens,
            ),
            self.redactor,
            Home(
                project="home-lab",
                agent_id="mac-mini",
                base_env=base_env,
                workdir=str(folder),
                python=sys.executable,
                python_call=PROGRAM,
            ),
            live=lambda _: Redacting(self.screen, self.redactor),
            rng=lambda: 0.5,
        )

    async def run(self, run: Run) -> Outcome:
        return await self.executor.execute(run, self.cancel)

    async def sh(self, script: str, **fields) -> Outcome:
        return await self.run(a_run(shell(script, **fields)))

    @property
    def last(self) -> Report:
        return self.journal.reports[-1]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def shell(script: str, **fields) -> Job:
    return a_job(command=Command(shell=script, **fields.pop("command", {})), **fields)


# ── start, end, report ──────────────────────────────────────────────────────


async def test_a_run_is_recorded_before_it_begins_and_after_it_ended(box: Box):
    run = a_run(shell("echo out; echo err >&2"), scheduled_for=SLOT)
    outcome = await box.run(run)
    start, end = box.journal.of(run)
    assert (start.status, end.status) == (RunStatus.RUNNING, RunStatus.OK)
    assert (start.scheduled_for, start.trigger, start.started_at) == (SLOT, Trigger.SCHEDULE, outcome.started_at)
    assert (end.started_at, end.finished_at) == (outcome.started_at, outcome.finished_at)
    assert (end.exit_code, end.reason, end.error, end.result) == (0, None, None, None)
    assert sorted(end.output.splitlines()) == ["err", "out"]
    assert (outcome.stdout.text, outcome.stderr.text) == ("out\n", "err\n")


async def test_it_says_that_the_command_has_ended_before_that_is_recorded(box: Box):
    run, known = a_run(shell("true")), []
    await box.executor.execute(run, box.cancel, lambda: known.append([each.status for each in box.journal.of(run)]))
    assert known == [[RunStatus.RUNNING]]


def test_who_is_told_of_a_cancellation_is_told_once_also_when_it_came_before():
    switch, told = CancelSwitch(), []
    switch.tell(lambda: told.append(f"before {switch.reason}"))
    switch.set("shutdown")
    switch.set("cancelled")
    switch.tell(lambda: told.append(f"after {switch.reason}"))
    assert told == ["before shutdown", "after shutdown"]


def test_a_run_of_a_month_has_a_duration_that_the_database_can_hold():
    """Else its report would be refused, and its request would never end."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    outcome = Outcome(status=RunStatus.OK, reason=None, started_at=at, finished_at=at + timedelta(days=31))
    report = reports.finish(a_run(a_job()), outcome, duration_ms=31 * 86_400_000, output="", agent_id="mac")
    assert report.duration_ms == 2**31 - 1


async def test_the_start_is_on_disk_before_the_command_does_anything(box: Box):
    executing = asyncio.create_task(box.sh("touch begun; sleep 30"))
    await wait_until((box.folder / "begun").exists)
    assert [report.status for report in box.journal.reports] == [RunStatus.RUNNING]
    box.cancel.set(Reason.CANCELLED)
    await executing


async def test_without_its_start_on_disk_nothing_is_started(box: Box):
    box.journal.full = True
    run = a_run(shell("touch begun"))
    with structlog.testing.capture_logs() as logs:
        executing = asyncio.create_task(box.run(run))
        await wait_until(lambda: len([each for each in logs if each["log_level"] == "error"]) >= 3)
    box.journal.full = False
    outcome = await executing
    assert not (box.folder / "begun").exists()
    assert (outcome.status, outcome.reason) == (RunStatus.ERROR, Reason.SPAWN_FAILED)
    (report,) = box.journal.of(run)
    assert report.error == "Not started: disk full"
    assert report.started_at is None


async def test_an_end_that_cannot_be_recorded_is_kept_until_it_can(box: Box):
    executing = asyncio.create_task(box.sh("touch begun; while [ -e begun ]; do sleep 0.02; done; echo done"))
    await wait_until((box.folder / "begun").exists)
    box.journal.full = True
    with structlog.testing.capture_logs() as logs:
        (box.folder / "begun").unlink()
        await wait_until(lambda: len([each for each in logs if "could not be recorded" in each["event"]]) >= 2)
    box.journal.full = False
    await executing
    assert (box.last.status, box.last.output) == (RunStatus.OK, "done\n")


async def test_the_cause_of_a_catch_up_stays_its_reason(box: Box):
    run = a_run(shell("true"), trigger=Trigger.CATCH_UP, scheduled_for=SLOT, cause="asleep")
    await box.run(run)
    assert [report.reason for report in box.journal.of(run)] == ["asleep", "asleep"]


async def test_duration_is_that_of_the_process(box: Box):
    await box.sh("sleep 0.3")
    assert 300 <= box.last.duration_ms < 2000


# ── how runs end ────────────────────────────────────────────────────────────


async def test_an_exit_code_is_an_error(box: Box):
    outcome = await box.sh("exit 3")
    assert (outcome.status, outcome.reason, outcome.exit_code) == (RunStatus.ERROR, Reason.EXIT_CODE, 3)
    assert outcome.error == "Exit code 3."


async def test_a_command_that_the_shell_does_not_find_gets_a_hint(box: Box):
    outcome = await box.sh("no-such-command-here")
    assert outcome.error.startswith("Exit code 127: a command in it was not found")


async def test_a_signal_of_somebody_else_is_named(box: Box):
    outcome = await box.sh("kill -KILL $$")
    assert (outcome.status, outcome.reason, outcome.exit_code) == (RunStatus.ERROR, Reason.SIGNAL, -9)
    assert outcome.error == "Ended by signal 9 (SIGKILL), which the agent did not send."


async def test_a_signal_without_a_name_is_told_by_its_number(box: Box):
    outcome = await box.sh("kill -40 $$")
    assert outcome.error == "Ended by signal 40, which the agent did not send."


async def test_a_timeout_says_how_long_it_was(box: Box):
    outcome = await box.sh("echo begun; sleep 30", timeout_s=0.5)
    assert (outcome.status, outcome.reason) == (RunStatus.TIMEOUT, Reason.TIMEOUT)
    assert outcome.error == "Ended after its timeout of 0.5 s."
    assert outcome.stdout.text == "begun\n"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CANCELLED, RunStatus.CANCELLED),
        (Reason.OVERLAP, RunStatus.CANCELLED),
        (Reason.SHUTDOWN, RunStatus.CANCELLED),
        (Reason.LOST, RunStatus.LOST),
    ],
)
async def test_a_run_that_is_told_to_end_says_why(box: Box, reason: Reason, status: RunStatus):
    executing = asyncio.create_task(box.sh("touch begun; sleep 30", retry=Retry(max_attempts=3)))
    await wait_until((box.folder / "begun").exists)
    box.cancel.set(reason)
    box.cancel.set("a later reason")
    outcome = await executing
    assert (outcome.status, outcome.reason) == (status, reason)
    assert outcome.error
    assert box.journal.planned == {}


async def test_an_unknown_reason_to_end_is_a_cancellation(box: Box):
    executing = asyncio.create_task(box.sh("touch begun; sleep 30"))
    await wait_until((box.folder / "begun").exists)
    box.cancel.set("because")
    assert (await executing).reason is Reason.CANCELLED


async def test_a_run_cancelled_before_its_turn_never_begins(box: Box):
    box.cancel.set(Reason.CANCELLED)
    run = a_run(shell("touch begun"))
    outcome = await box.run(run)
    (report,) = box.journal.of(run)
    assert (report.status, report.started_at) == (RunStatus.CANCELLED, None)
    assert outcome.reason is Reason.CANCELLED
    assert not (box.folder / "begun").exists()


@pytest.mark.parametrize("reason", [Reason.SHUTDOWN, Reason.LOST])
async def test_a_run_left_to_a_later_start_is_not_recorded(box: Box, reason: Reason):
    box.cancel.set(reason)
    outcome = await box.sh("touch begun")
    assert outcome.reason is reason
    assert box.journal.reports == []


async def test_a_cancellation_while_the_start_is_committed_starts_nothing(box: Box, monkeypatch):
    async def slow_commit(report: Report, **_) -> None:
        box.cancel.set(Reason.CANCELLED)
        box.journal.reports.append(report)

    monkeypatch.setattr(box.journal, "record", slow_commit)
    outcome = await box.sh("touch begun")
    assert (outcome.status, outcome.exit_code) == (RunStatus.CANCELLED, None)
    assert not (box.folder / "begun").exists()


async def test_a_command_that_is_not_there_is_reported_with_what_to_do(box: Box):
    outcome = await box.run(a_run(a_job("backup", "resticc", "backup")))
    assert (outcome.status, outcome.reason, outcome.exit_code) == (RunStatus.ERROR, Reason.SPAWN_FAILED, None)
    assert 'command "resticc" was not found on the PATH' in outcome.error


async def test_a_missing_workdir_is_reported(box: Box):
    outcome = await box.sh("true", command={"workdir": "/nowhere/at/all"})
    assert 'workdir "/nowhere/at/all" does not exist' in outcome.error


# ── retries ─────────────────────────────────────────────────────────────────


async def test_a_failed_scheduled_run_plans_its_next_attempt_with_its_end(box: Box):
    run = a_run(shell("exit 1", retry=Retry(max_attempts=2)), scheduled_for=SLOT)
    outcome = await box.run(run)
    (planned,) = box.journal.planned.values()
    assert (planned.attempt, planned.scheduled_for, planned.trigger) == (2, SLOT, Trigger.SCHEDULE)
    assert planned.run_id != run.id
    assert (planned.due_at - outcome.finished_at).total_seconds() == pytest.approx(15, abs=1)
    assert box.last.retry_in_s is None


async def test_a_failed_request_goes_back_to_the_queue(box: Box):
    job = shell("exit 1", retry=Retry(max_attempts=2))
    await box.run(a_run(job, request=a_request(job)))
    assert box.last.retry_in_s == 15
    assert box.journal.planned == {}


async def test_the_last_attempt_is_the_end(box: Box):
    job = shell("exit 1", retry=Retry(max_attempts=2))
    await box.run(a_run(job, request=a_request(job), attempt=2))
    assert box.last.retry_in_s is None


# ── requests and payloads ───────────────────────────────────────────────────


async def test_the_result_of_a_request_has_exactly_the_keys_of_the_contract(box: Box):
    job = shell("echo out; echo err >&2; exit 4")
    run = a_run(job, request=a_request(job, claims=7))
    await box.run(run)
    report = box.last
    assert (report.request_id, report.claims) == (run.request.id, 7)
    assert set(report.result) == RESULT_KEYS
    assert report.result == {
        "ok": False,
        "reason": "exit_code",
        "exit_code": 4,
        "duration_ms": report.duration_ms,
        "stdout_tail": "out\n",
        "stderr_tail": "err\n",
        "error": "Exit code 4.",
        "run_id": str(run.id),
        "agent_id": "mac-mini",
        "attempt": 1,
    }
    json.dumps(report.result)


async def test_a_payload_reaches_the_job_as_a_private_file_and_as_stdin(box: Box):
    job = shell(
        'stat -c %a "$CRONMIRROR_PAYLOAD"; cat "$CRONMIRROR_PAYLOAD"; echo; cat', payload_schema={"type": "object"}
    )
    payload = {"width": 3, "text": "$(touch hacked) `touch hacked` ü \ud800"}
    outcome = await box.run(a_run(job, request=a_request(job, payload)))
    mode, file, stdin = outcome.stdout.text.splitlines()
    assert mode == "600"
    assert json.loads(file) == json.loads(stdin) == payload
    assert not (box.folder / "hacked").exists()
    assert box.payloads.left == []


async def test_a_job_without_payload_gets_no_file_and_an_empty_stdin(box: Box):
    outcome = await box.sh('echo "${CRONMIRROR_PAYLOAD-none}"; cat')
    assert outcome.stdout.text == "none\n"


async def test_the_payload_file_is_removed_whatever_happens(box: Box):
    job = a_job("task", "no-such-command", payload_schema={})
    await box.run(a_run(job, request=a_request(job, {"a": 1})))
    assert box.payloads.left == []


async def test_a_payload_that_cannot_be_written_is_an_error(box: Box):
    box.payloads.broken = True
    job = shell("touch begun", payload_schema={})
    outcome = await box.run(a_run(job, request=a_request(job, {"a": 1})))
    assert (outcome.status, outcome.reason) == (RunStatus.ERROR, Reason.SPAWN_FAILED)
    assert outcome.error == "Not started, the payload could not be handed over: disk full"
    assert not (box.folder / "begun").exists()


async def test_a_request_without_payload_counts_as_an_empty_object(box: Box):
    job = shell("cat", payload_schema={"type": "object"})
    assert (await box.run(a_run(job, request=a_request(job)))).stdout.text == "{}"


async def test_a_scheduled_run_of_a_job_with_payload_gets_none(box: Box):
    job = shell('echo "${CRONMIRROR_PAYLOAD-none}"', payload_schema={"required": ["width"]})
    assert (await box.run(a_run(job))).stdout.text == "none\n"


async def rejected(box: Box, job: Job, payload=None) -> str:
    run = a_run(job, request=a_request(job, payload))
    outcome = await box.run(run)
    assert (outcome.status, outcome.reason) == (RunStatus.SKIPPED, Reason.REJECTED)
    (report,) = box.journal.of(run)
    assert (report.status, report.reason, report.started_at) == (RunStatus.SKIPPED, "rejected", None)
    assert report.retry_in_s is None
    assert set(report.result) == RESULT_KEYS
    assert (report.result["ok"], report.result["reason"]) == (False, "rejected")
    assert not (box.folder / "begun").exists()
    return report.result["error"]


async def test_a_request_for_a_disabled_job_is_rejected(box: Box):
    message = await rejected(box, shell("touch begun", enabled=False))
    assert message == 'Job "job" is disabled; set `enabled: true` in its YAML.'


async def test_a_payload_nobody_asked_for_is_rejected(box: Box):
    assert "takes no payload" in await rejected(box, shell("touch begun"), {"width": 1})


@pytest.mark.parametrize("payload", [None, {}, {"height": 1}])
async def test_a_payload_that_does_not_fit_is_rejected(box: Box, payload):
    message = await rejected(box, shell("touch begun", payload_schema={"required": ["width"]}), payload)
    assert message == 'The payload does not fit job "job": payload.width: is required'


async def test_a_disabled_job_can_be_run_by_hand(box: Box):
    outcome = await box.run(a_run(shell("true", enabled=False), trigger=Trigger.EXEC))
    assert outcome.status is RunStatus.OK


# ── environment ─────────────────────────────────────────────────────────────


async def test_the_environment_is_inherited_extended_and_describes_the_run(box: Box):
    job = a_job("sync", "env", command=Command(argv=("env",), env={"API_KEY": "k", "HOME": "/elsewhere"}))
    run = a_run(job, request=a_request(job), attempt=2, scheduled_for=SLOT)
    outcome = await box.run(run)
    env = dict(line.split("=", 1) for line in outcome.stdout.text.splitlines())
    assert env == {
        "PATH": os.environ["PATH"],
        "HOME": "/elsewhere",
        "API_KEY": "k",
        "CRONMIRROR_RUN_ID": str(run.id),
        "CRONMIRROR_JOB_ID": "sync",
        "CRONMIRROR_PROJECT": "home-lab",
        "CRONMIRROR_TRIGGER": "request",
        "CRONMIRROR_ATTEMPT": "2",
        "CRONMIRROR_SCHEDULED_FOR": "2026-03-01T12:00:00+00:00",
        "CRONMIRROR_REQUEST_ID": str(run.request.id),
    }


async def test_a_job_cannot_pretend_to_be_another_run(box: Box):
    outcome = await box.sh("echo $CRONMIRROR_JOB_ID", command={"env": {"CRONMIRROR_JOB_ID": "other"}})
    assert outcome.stdout.text == "job\n"


async def test_argv_is_not_read_by_a_shell(box: Box):
    outcome = await box.run(a_run(a_job("job", "echo", "$HOME", "; touch hacked", "*")))
    assert outcome.stdout.text == "$HOME ; touch hacked *\n"


async def test_a_job_without_workdir_runs_at_home(box: Box):
    assert (await box.sh("pwd -P")).stdout.text.strip() == str(box.folder.resolve())


# ── hostile output ──────────────────────────────────────────────────────────


async def test_secrets_reach_neither_report_nor_screen_however_they_are_printed(box: Box):
    box.redactor.add(["hunter2-is-my-password"])
    encoded = base64.b64encode(b"user:hunter2-is-my-password").decode()
    script = f"printf hunter2-is; sleep 0.1; printf -- '-my-password\\n'; echo {encoded}; exit 1"
    job = shell(script)
    run = a_run(job, request=a_request(job))
    outcome = await box.run(run)
    everything = f"{outcome} {box.journal.of(run)}".replace(repr(job), "") + box.screen.seen.decode()
    assert "hunter2" not in outcome.stdout.text
    assert outcome.stdout.text.startswith("***\n")
    assert everything.count(encoded[8:-4]) == 0
    assert "hunter2" not in everything


async def test_a_secret_in_a_message_of_ours_is_hidden(box: Box):
    box.redactor.add(["hunter2"])
    outcome = await box.run(a_run(a_job("job", "hunter2-command")))
    assert 'command "***-command" was not found' in outcome.error


async def test_what_is_printed_is_seen_while_it_comes(box: Box):
    executing = asyncio.create_task(box.sh("echo first; sleep 30"))
    await wait_until(lambda: box.screen.seen == b"first\n")
    box.cancel.set(Reason.CANCELLED)
    await executing


@pytest.mark.parametrize(
    "script",
    [
        "head -c 100000000 /dev/zero",
        "head -c 100000000 /dev/urandom",
        "yes | head -c 100000000",
        "head -c 100000000 /dev/zero | tr '\\0' x",
    ],
)
async def test_a_flood_leaves_a_bounded_report_with_head_tail_and_count(box: Box, script: str):
    box.executor._live = None
    outcome = await box.sh(script + "; echo; echo the end", timeout_s=15.0)
    assert outcome.status is RunStatus.OK
    assert outcome.stdout.total_bytes == 100_000_009
    assert outcome.stdout.truncated
    assert "bytes left out" in outcome.stdout.text
    assert outcome.stdout.text.endswith("the end\n")
    for text in (outcome.stdout.text, box.last.output):
        assert len(text.encode()) < 65_536 + 100
        assert "\0" not in text


async def test_nothing_of_the_agents_own_is_left_after_runs(box: Box):
    await box.sh(f"{sys.executable} -c 'print(1)'")
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] in ([], [*_winding_down()])


def _winding_down() -> list[asyncio.Task]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and task.cancelling()]


# ── what slots have recorded ────────────────────────────────────────────────


async def test_a_skipped_slot_is_a_fact_and_no_longer_planned(box: Box):
    run = a_run(shell("true"), scheduled_for=SLOT)
    box.journal.planned[run.id] = None
    await box.executor.skip(run, Reason.OVERLAP, "Skipped.")
    (report,) = box.journal.of(run)
    assert (report.status, report.reason, report.error) == (RunStatus.SKIPPED, "overlap", "Skipped.")
    assert (report.scheduled_for, report.started_at, report.duration_ms) == (SLOT, None, None)
    assert report.finished_at is not None
    assert box.journal.planned == {}


async def test_a_fault_of_ours_ends_a_begun_run_as_an_error(box: Box):
    job = shell("true")
    run = a_run(job, request=a_request(job))
    began = WallClock().now()
    await box.executor.broken(run, began, "A fault inside the agent.")
    assert (box.last.status, box.last.started_at, box.last.error) == (
        RunStatus.ERROR,
        began,
        "A fault inside the agent.",
    )
    assert box.last.result["ok"] is False
    assert box.last.retry_in_s is None


async def test_slots_and_executor_go_together_on_real_processes(box: Box):
    job = shell("touch begun-$CRONMIRROR_ATTEMPT; exec sleep 30", overlap=Overlap.CANCEL_PREVIOUS)
    slots = Slots(execution=box.executor, clock=WallClock(), jobs=FakeJobs(job), concurrency=2)
    first, second = a_run(job, attempt=1), a_run(job, request=a_request(job), attempt=2)
    slots.submit(first)
    await wait_until((box.folder / "begun-1").exists)
    slots.submit(second)
    await wait_until((box.folder / "begun-2").exists)
    assert slots.cancel_request(second.request.id, Reason.LOST)
    await slots.wait_idle()
    ends = [box.journal.of(run)[-1] for run in (first, second)]
    assert [(end.status, end.reason) for end in ends] == [(RunStatus.CANCELLED, "overlap"), (RunStatus.LOST, "lost")]


# ── requests over HTTP ──────────────────────────────────────────────────────


def hook(**call) -> Job:
    fields = {"payload_schema": {"type": "object"}, "retry": Retry(max_attempts=3)}
    return a_job(command=Command(http=HttpCall(url="https://example.com/hook", method="POST", **call)), **fields)


async def test_the_answer_to_a_request_is_output_without_its_secrets(box: Box):
    box.redactor.add(["s3cret-token"])
    box.calls.says = b"HTTP/1.1 200 OK\n\nyour token is s3cret-token"
    outcome = await box.run(a_run(hook(headers={"Authorization": "s3cret-token"})))
    assert (outcome.status, outcome.exit_code, outcome.error) == (RunStatus.OK, None, None)
    assert outcome.stdout.text == "HTTP/1.1 200 OK\n\nyour token is ***"


@pytest.mark.parametrize(
    ("call", "body", "kind"),
    [
        ({}, b'{"width": 5}', {"Content-Type": "application/json"}),
        ({"headers": {"content-type": "text/x"}}, b'{"width": 5}', {"content-type": "text/x"}),
        ({"body": b"own"}, b"own", {}),
    ],
)
async def test_the_payload_is_the_body_of_a_request_that_has_none(box: Box, call: dict, body: bytes, kind: dict):
    job = hook(**call)
    await box.run(a_run(job, request=a_request(job, {"width": 5})))
    (sent,) = box.calls.calls
    assert (sent.body, sent.headers) == (body, kind)
    assert box.payloads.left == []


async def test_an_unexpected_status_is_an_error_that_is_tried_again(box: Box):
    box.calls.end = HttpEnd(status=503, phrase="Service Unavailable")
    outcome = await box.run(a_run(hook(), scheduled_for=SLOT))
    assert (outcome.status, outcome.reason) == (RunStatus.ERROR, Reason.HTTP_STATUS)
    assert outcome.error == "The answer was 503 Service Unavailable, expected was 200-299."
    assert len(box.journal.planned) == 1


async def test_a_cancelled_request_is_not_sent(box: Box):
    run = a_run(hook())
    recorded = box.journal.record

    async def cancelled_meanwhile(report: Report, **more) -> None:
        await recorded(report, **more)
        box.cancel.set(Reason.CANCELLED)

    box.journal.record = cancelled_meanwhile  # type: ignore[method-assign]
    assert ((await box.run(run)).status, box.calls.calls) == (RunStatus.CANCELLED, [])
