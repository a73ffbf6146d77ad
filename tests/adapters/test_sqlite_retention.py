"""What the journal forgets, what it never forgets, and that its file becomes smaller again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from structlog.testing import capture_logs

from agent.adapters.sqlite import Journal, read_runs
from agent.adapters.sqlite.opening import let_it_shrink
from agent.adapters.sqlite.runs import FREE_PAGES_KEPT, OUTPUTS_KEPT, RUNS_KEPT, give_back
from agent.adapters.sqlite.statements import MIGRATIONS, statements_of
from agent.model import Report, RunStatus, Verdict, VerdictKind
from tests.support.clock import VirtualClock
from tests.support.reports import SLOT, a_report

SLACK = 40
"""A job's history is not looked through at each of its ends."""
DAY_S = 86_400.0


async def delivered(journal: Journal, reports: list[Report]) -> None:
    """Recorded, and heard by the server."""
    await asyncio.gather(*(journal.record(report) for report in reports))
    entries = await journal.pending(10_000, 10**9)
    verdicts = {entry.seq: Verdict(run_id=entry.report.run_id, kind=VerdictKind.ACCEPTED) for entry in entries}
    await journal.settle(verdicts)


def ran(count: int, **values: object) -> list[Report]:
    return [a_report(**({"output": "x", "started_at": SLOT} | values)) for _ in range(count)]


def missed(count: int) -> list[Report]:
    return [a_report(status=RunStatus.MISSED, reason="asleep") for _ in range(count)]


async def counts(path: Path) -> dict[str, int]:
    runs = await read_runs(path, limit=10_000)
    return {status: sum(run.status == status for run in runs) for status in {run.status for run in runs}}


async def test_the_last_runs_of_each_job_are_kept_and_fewer_outputs(journal: Journal, path: Path) -> None:
    going_on = a_report(status=RunStatus.RUNNING, started_at=SLOT)
    await delivered(journal, [going_on, *ran(1, job_id="other"), *ran(RUNS_KEPT)])
    await delivered(journal, ran(RUNS_KEPT + SLACK))
    await delivered(journal, ran(SLACK))

    runs = await read_runs(path, job_id="a", limit=10_000)
    assert RUNS_KEPT < len(runs) <= RUNS_KEPT + SLACK + 1
    assert runs[-1].run_id == going_on.run_id
    assert OUTPUTS_KEPT <= sum(run.output is not None for run in runs) <= OUTPUTS_KEPT + SLACK
    assert len(await read_runs(path, job_id="other")) == 1


async def test_a_night_asleep_pushes_no_run_out(journal: Journal, path: Path) -> None:
    await delivered(journal, ran(RUNS_KEPT))
    await delivered(journal, missed(480))
    await delivered(journal, missed(SLACK))

    kept = await counts(path)
    assert kept[RunStatus.OK] == RUNS_KEPT
    assert RUNS_KEPT <= kept[RunStatus.MISSED] <= RUNS_KEPT + SLACK
    assert sum(run.output is not None for run in await read_runs(path, limit=10_000)) >= OUTPUTS_KEPT


async def test_what_the_server_has_not_heard_of_is_never_forgotten(path: Path) -> None:
    clock = VirtualClock()
    journal = await Journal.open(path, clock)
    await asyncio.gather(*(journal.record(report) for report in ran(RUNS_KEPT + 100)))
    await clock.advance(15 * DAY_S)
    await journal.record(a_report(job_id="other"))
    assert len(await read_runs(path, limit=10_000)) == RUNS_KEPT + 101

    await delivered(journal, [])
    await clock.advance(3601)
    await journal.record(a_report(job_id="other"))

    assert {run.job_id for run in await read_runs(path, limit=10_000)} == {"other"}
    await journal.close()


async def test_what_is_older_than_two_weeks_goes_and_what_still_runs_stays(path: Path) -> None:
    clock = VirtualClock()
    journal = await Journal.open(path, clock)
    await delivered(journal, [*ran(1), a_report(status=RunStatus.RUNNING)])
    await clock.advance(15 * DAY_S)
    await delivered(journal, young := ran(1))

    runs = await read_runs(path)
    assert [run.run_id for run in runs if run.status is RunStatus.OK] == [young[0].run_id]
    assert len(runs) == 2
    await journal.close()


async def test_the_file_gives_back_what_it_no_longer_needs(path: Path) -> None:
    clock = VirtualClock()
    journal = await Journal.open(path, clock)
    await delivered(journal, [a_report(job_id=f"job-{n}", output="x" * 400_000, started_at=SLOT) for n in range(20)])
    await clock.advance(15 * DAY_S)
    await journal.record(a_report())
    await journal.close()

    with sqlite3.connect(path) as db:
        assert db.execute("pragma page_count").fetchone()[0] < FREE_PAGES_KEPT + 100
        assert db.execute("pragma freelist_count").fetchone()[0] <= FREE_PAGES_KEPT
    db.close()


async def test_a_file_from_before_is_written_anew_so_that_it_can_shrink(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path, isolation_level=None) as old:
        for statement in statements_of("0001_tables.sql"):
            old.execute(statement)
        old.execute("pragma user_version = 1")
        old.execute("insert into notes values ('kept', 'yes')")
    old.close()

    journal = await Journal.open(path, VirtualClock())

    assert await journal.get("kept") == "yes"
    await journal.close()
    with sqlite3.connect(path) as now:
        assert now.execute("pragma auto_vacuum").fetchone() == (2,)
        assert now.execute("pragma user_version").fetchone() == (len(MIGRATIONS),)
    now.close()


async def test_a_file_that_cannot_be_written_anew_now_works_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path, isolation_level=None) as db:
        db.row_factory = sqlite3.Row
        for statement in statements_of("0001_tables.sql"):
            db.execute(statement)
        db.execute("begin")  # VACUUM is refused in a transaction
        with capture_logs() as logs:
            let_it_shrink(db)
        db.execute("rollback")
        for n in range(2):
            db.execute("create table filling as select zeroblob(9000000)")
            db.execute("drop table filling")
            assert give_back(db) is False, n
    db.close()
    assert [line["log_level"] for line in logs] == ["warning"]
