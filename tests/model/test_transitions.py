"""The one table of states: complete, drawn as it is, and kept by the journal."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.adapters.sqlite import Journal
from agent.model import RunStatus, Trigger
from agent.model.transitions import REQUEST_MOVES, RUN_MOVES, RequestStatus
from tests.support.clock import VirtualClock
from tests.support.reports import SLOT, a_report

PAGE = (Path(__file__).parents[2] / "docs/states.md").read_text()
REQUESTS, RUNS = PAGE.split("## Runs")
FINAL = {status for status, moves in RUN_MOVES.items() if not moves}


@pytest.mark.parametrize(("moves", "statuses"), [(RUN_MOVES, RunStatus), (REQUEST_MOVES, RequestStatus)])
def test_every_status_has_its_row_and_can_be_reached(moves, statuses):
    assert set(moves) == {None, *statuses}
    reached, found = set(), {None}
    while found - reached:
        reached |= found
        found = {after for before in reached for after in moves[before]}
    assert reached == {None, *statuses}


@pytest.mark.parametrize(("moves", "chapter"), [(RUN_MOVES, RUNS), (REQUEST_MOVES, REQUESTS)], ids=["runs", "requests"])
def test_the_page_says_what_the_table_says(moves, chapter):
    table = {(str(before or "–"), str(after), why) for before, row in moves.items() for after, why in row.items()}
    written = re.findall(r"^\| `?(\w+|–)`? \| `(\w+)` \| (.*) \|$", chapter, re.MULTILINE)
    assert set(written) == table


@pytest.mark.parametrize(("moves", "chapter"), [(RUN_MOVES, RUNS), (REQUEST_MOVES, REQUESTS)], ids=["runs", "requests"])
def test_the_drawing_shows_what_the_table_says(moves, chapter):
    table = {(str(before or "[*]"), str(after)) for before, row in moves.items() for after in row}
    table |= {(str(status), "[*]") for status, row in moves.items() if not row}
    drawn = re.findall(r"^  (\S+) --> ([\w\[\]*]+)", chapter, re.MULTILINE)
    assert set(drawn) == table


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.sqlite", VirtualClock())
    yield journal
    await journal.close()


def report(status):
    return a_report(trigger=Trigger.SCHEDULE, status=status, scheduled_for=SLOT)


async def told(journal, *reports) -> list[str]:
    """Statuses that reach the outbox."""
    for each in reports:
        await journal.record(each)
    return [entry.report.status for entry in await journal.pending(10, 10**6)]


@pytest.mark.parametrize("after", RUN_MOVES[None])
async def test_a_first_report_is_told(journal, after):
    assert await told(journal, report(after)) == [after]


@pytest.mark.parametrize("after", RUN_MOVES[RunStatus.RUNNING])
async def test_the_end_of_a_running_run_is_told(journal, after):
    start = report(RunStatus.RUNNING)
    assert await told(journal, start, replace(start, status=after)) == [RunStatus.RUNNING, after]


@pytest.mark.parametrize("after", RUN_MOVES[RunStatus.MISSED])
async def test_another_run_takes_a_missed_slot_over(journal, after):
    assert await told(journal, report(RunStatus.MISSED), report(after)) == [RunStatus.MISSED, after]


@pytest.mark.parametrize("after", list(RunStatus))
@pytest.mark.parametrize("before", sorted(FINAL))
async def test_no_final_status_is_taken_back(journal, before, after):
    end = report(before)
    assert await told(journal, end, replace(end, status=after)) == [before]
