"""The journal's file: durable, private, bounded, and honest when the disk is not."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from agent.adapters.sqlite import Journal, read_runs
from agent.errors import StateError
from agent.model import RunStatus, Trigger, Verdict, VerdictKind
from tests.support.clock import VirtualClock
from tests.support.reports import SLOT, a_plan, a_report
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
ALL = 10_000_000


# ── records ─────────────────────────────────────────────────────────────────


async def test_every_value_of_a_report_survives_the_file(journal: Journal) -> None:
    full = a_report(
        attempt=2,
        reason="exit_code",
        request_id=uuid4(),
        claims=3,
        scheduled_for=SLOT,
        started_at=SLOT,
        finished_at=SLOT + timedelta(seconds=1.234567),
        duration_ms=1234,
        exit_code=-9,
        output="ö\n\N{SNOWMAN}",
        error="no",
        retry_in_s=1.5,
        result={"ok": False, "nested": {"list": [1, None, "x"]}},
    )
    await journal.record(full)
    (entry,) = await journal.pending(1, ALL)
    assert entry.report == full


async def test_text_that_postgres_cannot_store_becomes_replacement_characters(journal: Journal) -> None:
    await journal.record(a_report(output="a\0b\ud800c", error="\udfff", result={"k\0": ["\0"], "n": float("nan")}))
    (entry,) = await journal.pending(1, ALL)
    assert entry.report.output == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert entry.report.error == "\N{REPLACEMENT CHARACTER}"
    assert entry.report.result == {"k\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}"], "n": None}


async def test_an_end_is_never_taken_back_and_said_once(journal: Journal) -> None:
    start = a_report(status=RunStatus.RUNNING)
    await journal.record(start)
    await journal.record(start)
    await journal.record(replace(start, status=RunStatus.OK))
    await journal.record(replace(start, status=RunStatus.LOST), retry=a_plan())
    assert [e.report.status for e in await journal.pending(9, ALL)] == [RunStatus.RUNNING, RunStatus.OK]
    assert await journal.planned() == ()


async def test_a_start_takes_its_plan_away_in_the_same_commit(journal: Journal, path: Path) -> None:
    plan = a_plan()
    await journal.decide(cursors={"a": SLOT}, planned=[plan])
    await journal.record(
        a_report(run_id=plan.run_id, trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, scheduled_for=SLOT)
    )
    assert await journal.planned() == ()


async def test_a_failed_run_plans_its_retry_in_the_same_commit(journal: Journal) -> None:
    retry = a_plan(attempt=2)
    await journal.record(a_report(trigger=Trigger.SCHEDULE, status=RunStatus.ERROR, scheduled_for=SLOT), retry=retry)
    assert await journal.planned() == (retry,)


async def test_a_catch_up_takes_over_its_slots_missed_row(journal: Journal, path: Path) -> None:
    missed = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.MISSED, scheduled_for=SLOT, reason="asleep")
    plan = a_plan(trigger=Trigger.CATCH_UP)
    await journal.decide(cursors={"a": SLOT}, planned=[plan], reports=[missed])
    await journal.record(
        a_report(run_id=plan.run_id, trigger=Trigger.CATCH_UP, status=RunStatus.RUNNING, scheduled_for=SLOT)
    )
    assert [run.run_id for run in await read_runs(path)] == [plan.run_id]
    assert len(await journal.pending(9, ALL)) == 2


async def test_a_run_that_may_not_begin_leaves_no_plan_behind(journal: Journal) -> None:
    plan = a_plan()
    await journal.decide(cursors={}, planned=[plan])
    await journal.record(a_report(trigger=Trigger.SCHEDULE, scheduled_for=SLOT))
    second = a_report(run_id=plan.run_id, trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, scheduled_for=SLOT)
    with pytest.raises(StateError, match="already run"):
        await journal.record(second)
    await journal.record(replace(second, status=RunStatus.ERROR))
    assert await journal.planned() == ()
    await journal.record(a_report(trigger=Trigger.SCHEDULE, status=RunStatus.MISSED, scheduled_for=SLOT))
    assert len(await journal.pending(9, ALL)) == 1


async def test_a_slot_that_was_run_is_neither_planned_nor_missed_afterwards(journal: Journal) -> None:
    await journal.record(a_report(trigger=Trigger.SCHEDULE, scheduled_for=SLOT))
    missed = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.MISSED, scheduled_for=SLOT)
    await journal.decide(cursors={}, planned=[a_plan()], reports=[missed])
    assert await journal.planned() == ()
    assert len(await journal.pending(9, ALL)) == 1


async def test_runs_by_hand_stay_on_the_box_and_belong_to_their_own_process(journal: Journal, path: Path) -> None:
    await journal.record(a_report(trigger=Trigger.EXEC, status=RunStatus.RUNNING))
    assert await journal.pending(9, ALL) == ()
    assert await journal.unfinished() == ()
    assert len(await read_runs(path)) == 1


async def test_a_request_stays_unreported_until_the_server_has_answered_or_for_good_when_set_aside(journal) -> None:
    settled, aside = uuid4(), uuid4()
    for request in (settled, aside):
        await journal.record(a_report(request_id=request, claims=1))
    first, second = await journal.pending(9, ALL)
    await journal.settle({first.seq: Verdict(run_id=first.report.run_id, kind=VerdictKind.ACCEPTED)})
    await journal.set_aside(second.seq, "400")
    assert await journal.unreported_requests() == (aside,)


async def test_why_a_report_was_rejected_is_kept_with_the_run(journal: Journal, path: Path) -> None:
    await journal.record(a_report())
    (entry,) = await journal.pending(1, ALL)
    verdict = Verdict(run_id=entry.report.run_id, kind=VerdictKind.REJECTED, why="fenced")
    await journal.settle({entry.seq: verdict, 999: verdict})
    (run,) = await read_runs(path)
    assert run.rejected == "fenced"
    await journal.strip_output(999)  # settled meanwhile: nothing to strip


# ── bounds ──────────────────────────────────────────────────────────────────


async def test_a_full_outbox_gives_up_the_oldest_outputs_and_no_outcome(path: Path) -> None:
    journal = await Journal.open(path, VirtualClock(), outbox_limit=10_000)
    with capture_logs() as logs:
        for number in range(12):
            await journal.record(
                a_report(exit_code=number, output="x" * 1000, result={"stdout_tail": "y" * 500, "ok": 1})
            )
    entries = await journal.pending(50, ALL)
    await journal.close()
    assert [entry.report.exit_code for entry in entries] == list(range(12))
    kept = [entry.seq for entry in entries if entry.report.output]
    assert kept
    assert kept == [entry.seq for entry in entries][-len(kept) :]
    assert entries[0].without_output
    assert entries[0].report.result == {"stdout_tail": None, "ok": 1}
    assert any("outbox is full" in line["event"] for line in logs)


async def test_outcomes_alone_cannot_fill_the_disk_and_those_of_requests_are_never_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.sqlite.outbox.DROPPED_AT_ONCE", 5)
    journal = await Journal.open(path, VirtualClock(), outbox_limit=10_000)
    slots = [SLOT + timedelta(minutes=number) for number in range(100)]
    with capture_logs() as logs:
        await journal.record(a_report(status=RunStatus.RUNNING, exit_code=1))
        for number, slot in enumerate(slots):
            status = RunStatus.MISSED if number % 2 else RunStatus.OK
            await journal.record(a_report(trigger=Trigger.SCHEDULE, status=status, scheduled_for=slot))
            if number % 10 == 0:
                await journal.record(a_report(request_id=uuid4(), claims=1))
    reports = [entry.report for entry in await journal.pending(1000, ALL)]
    never_told = [run for run in await read_runs(path, limit=1000) if run.rejected]
    await journal.close()
    assert len(reports) < 70
    assert sum(report.request_id is not None for report in reports) == 10
    assert reports[0].status is RunStatus.RUNNING
    ran = [report.scheduled_for for report in reports if report.status is RunStatus.OK and report.scheduled_for]
    assert ran == [slot for slot in slots[::2] if slot >= ran[0]], "the oldest go first"
    assert len(reports) - 11 + len(never_told) == 100
    assert any("old reports were given up" in line["event"] for line in logs)


# ── the file ────────────────────────────────────────────────────────────────


async def test_only_we_can_read_the_journal(journal: Journal, path: Path) -> None:
    await journal.record(a_report())
    assert {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {"0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"


async def test_what_was_recorded_is_there_after_reopening(path: Path) -> None:
    clock = VirtualClock()
    journal = await Journal.open(path, clock)
    await journal.record(a_report())
    await journal.put("claim_seq", "7")
    await journal.close()
    await journal.close()
    with pytest.raises(StateError, match="closed"):
        await journal.get("claim_seq")
    again = await Journal.open(path, clock)
    await asyncio.wait_for(again.wait_pending(), 5)
    assert await again.get("claim_seq") == "7"
    await again.close()


async def test_a_cancelled_caller_leaves_a_working_journal(journal: Journal) -> None:
    impatient = asyncio.ensure_future(journal.put("a", "1"))
    await asyncio.sleep(0)
    impatient.cancel()
    await journal.put("b", "2")
    assert await journal.get("a") == "1"


async def test_records_that_wait_together_share_a_commit(path: Path) -> None:
    journal = await Journal.open(path, VirtualClock())
    commits = []
    await journal._writer.do(
        lambda db: db.set_trace_callback(lambda sql: commits.append(sql) if sql == "commit" else None)
    )
    await asyncio.gather(*(journal.record(a_report()) for _ in range(100)))
    await journal.close()
    assert len(commits) < 20


async def test_one_refused_record_spoils_none_that_shared_its_commit(journal: Journal) -> None:
    await journal.record(a_report(trigger=Trigger.SCHEDULE, scheduled_for=SLOT))
    twice = a_report(trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, scheduled_for=SLOT)
    outcomes = await asyncio.gather(
        journal.record(a_report()), journal.record(twice), journal.record(a_report()), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StateError, type(None)]
    assert len(await journal.pending(9, ALL)) == 3


@pytest.mark.parametrize("damage", [b"not a database at all, just text", None])
async def test_a_damaged_journal_is_moved_aside_and_said_loudly(path: Path, damage: bytes | None) -> None:
    clock = VirtualClock()
    journal = await Journal.open(path, clock)
    await asyncio.gather(*(journal.record(a_report(output="x" * 3000)) for _ in range(50)))
    await journal.close()
    with path.open("r+b") as file:
        if damage is None:  # the header stays, the pages are nonsense
            file.seek(4096)
            damage = bytes(range(256)) * 160
        file.write(damage)
    with pytest.raises(StateError, match=r"journal\.sqlite: it is"):
        await Journal.open(path, clock, mend=False)
    with capture_logs() as logs:
        journal = await Journal.open(path, clock)
    await journal.record(a_report())
    assert len(await journal.pending(99, ALL)) == 1
    await journal.close()
    assert [line["log_level"] for line in logs] == ["error"]
    assert len(list(path.parent.glob("journal.sqlite.corrupt-*"))) >= 1


async def test_damage_that_cannot_be_moved_aside_is_an_error_with_a_reason(path: Path, monkeypatch) -> None:
    await (await Journal.open(path, VirtualClock())).close()
    with path.open("wb") as file:
        file.write(b"nonsense" * 1000)

    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StateError, match="cannot be moved aside"):
        await Journal.open(path, VirtualClock())


async def test_damage_found_while_running_is_an_error_that_says_what_to_do(journal: Journal, path: Path) -> None:
    def malformed(db):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(StateError, match="it is damaged") as caught:
        await journal._writer.do(malformed)
    assert "Restart" in caught.value.hint
    await journal.put("still", "works")


async def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    await (await Journal.open(path, VirtualClock())).close()
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(StateError, match="newer cronmirror"):
        await Journal.open(path, VirtualClock())


async def test_a_folder_that_cannot_hold_a_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateError, match=r"state/journal\.sqlite") as caught:
        await Journal.open(tmp_path / "state" / "journal.sqlite", VirtualClock())
    assert caught.value.hint


# ── looking at it ───────────────────────────────────────────────────────────


async def test_local_runs_are_read_newest_first_while_the_agent_writes(journal: Journal, path: Path) -> None:
    reports = [a_report(job_id=job) for job in "aba"]
    for report in reports:
        await journal.record(report)
    assert [run.run_id for run in await read_runs(path)] == [r.run_id for r in reversed(reports)]
    assert [run.job_id for run in await read_runs(path, job_id="b")] == ["b"]
    assert [run.run_id for run in await read_runs(path, job_id="a", limit=1)] == [reports[2].run_id]


async def test_local_runs_are_read_after_the_agent_is_gone_and_before_it_ever_ran(journal: Journal, path: Path) -> None:
    assert await read_runs(path.with_name("none.sqlite")) == ()
    await journal.record(a_report())
    await journal.close()
    assert len(await read_runs(path)) == 1


async def test_reading_something_that_is_no_journal_is_explained(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("nonsense " * 500)
    with pytest.raises(StateError, match="no journal"):
        await read_runs(tmp_path / "journal.sqlite")


# ── crashes and full disks, in processes of their own ───────────────────────

WRITER = """
import asyncio, sys
from pathlib import Path
from uuid import UUID, uuid4
from agent.adapters.sqlite import Journal
from agent.errors import StateError
from agent.model import Report, RunStatus, Trigger
from tests.support.clock import VirtualClock

async def write(journal, lane):
    for number in range(100_000):
        run_id = uuid4()
        for status in (RunStatus.RUNNING, RunStatus.OK):
            report = Report(run_id=run_id, job_id=lane, trigger=Trigger.STARTUP, status=status, output="x" * 500)
            await journal.record(report)
            sys.stdout.write(f"{run_id} {status.value}\\n"); sys.stdout.flush()

async def main():
    journal = await Journal.open(Path(sys.argv[1]), VirtualClock())
    await asyncio.gather(*(write(journal, lane) for lane in "abcd"))

asyncio.run(main())
"""


def killed_writer(path: Path, lines: int) -> dict[UUID, str]:
    """What a writer said it had committed, before it was killed with its hands full."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    whole = [line.split() for line in said if line.endswith("\n")]
    assert whole
    return {UUID(run_id): status for run_id, status in whole}


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_what_was_committed_is_there_after_kill_9_at_any_moment(path: Path) -> None:
    said: dict[UUID, str] = {}
    for lines in (1, 2, 3, 17, 50, 111, 230, 401):
        said |= await asyncio.to_thread(killed_writer, path, lines)
        journal = await Journal.open(path, VirtualClock())
        entries = await journal.pending(1_000_000, 1_000_000_000)
        await journal.close()
        sent: dict[UUID, list[str]] = {}
        for entry in entries:
            sent.setdefault(entry.report.run_id, []).append(entry.report.status.value)
        assert all(status in sent[run_id] for run_id, status in said.items())
        assert all(statuses in (["running"], ["running", "ok"]) for statuses in sent.values())
    assert not list(path.parent.glob("*.corrupt-*"))


FULL = """
import asyncio, json, resource, sys
from pathlib import Path
from uuid import uuid4
from agent.adapters.sqlite import Journal
from agent.errors import StateError
from agent.model import Report, RunStatus, Trigger
from tests.support.clock import VirtualClock

def report(size):
    return Report(run_id=uuid4(), job_id="a", trigger=Trigger.STARTUP, status=RunStatus.OK, output="x" * size)

async def main():
    journal = await Journal.open(Path(sys.argv[1]), VirtualClock())
    await journal.record(report(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        await asyncio.gather(*(journal.record(report(200_000)) for _ in range(5)))
        said = "nothing"
    except StateError as error:
        said = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await asyncio.sleep(0)
    await journal.record(report(11))
    sizes = [len(entry.report.output) for entry in await journal.pending(99, 10_000_000)]
    await journal.close()
    print(json.dumps({"said": said, "sizes": sizes}))

asyncio.run(main())
"""


async def test_a_disk_that_takes_no_more_is_an_error_and_not_the_end(path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FULL, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "journal.sqlite: " in told["said"]
    assert "disk" in told["said"]
    assert told["sizes"][0] == 10
    assert told["sizes"][-1] == 11


async def test_a_full_disk_is_named_and_the_next_record_after_it_works(journal: Journal) -> None:
    await journal._writer.do(lambda db: db.execute("pragma max_page_count = 40").fetchall())
    with pytest.raises(StateError, match="the disk is full") as caught:
        await journal.record(a_report(output="x" * 500_000))
    assert "Free some space" in caught.value.hint
    await journal.record(a_report())
    assert len(await journal.pending(9, ALL)) == 1


async def test_two_processes_share_a_journal(path: Path, journal: Journal) -> None:
    """`cronmirror exec` beside the agent."""
    guest = await Journal.open(path, VirtualClock(), mend=False)
    await asyncio.gather(
        *(journal.record(a_report()) for _ in range(20)),
        *(guest.record(a_report(trigger=Trigger.EXEC)) for _ in range(20)),
    )
    await guest.close()
    assert len(await read_runs(path, limit=100)) == 40
    assert len(await journal.pending(99, ALL)) == 20


async def test_a_loop_that_is_gone_does_not_keep_the_writer_alive(path: Path) -> None:
    def abandon() -> object:
        async def leave() -> Journal:
            return await Journal.open(path, VirtualClock())

        journal = asyncio.run(leave())
        journal._writer._waiting.put(None)
        return journal._writer._thread

    thread = await asyncio.to_thread(abandon)
    await wait_until(lambda: not thread.is_alive())
    assert await read_runs(path) == ()
