"""`status` reads the state directory alone: with an agent beside it, without one, before the first start."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import typer

from agent.adapters.clock import SystemClock
from agent.adapters.files import StateDir
from agent.adapters.sqlite import Journal
from agent.cli import status as verb
from agent.model import Pause, RunStatus, Trigger
from agent.report.outages import LIFE_NOTE, OUTAGE_NOTE
from agent.report.pauses import NOTE
from tests.support.reports import a_report

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
RUNS = UUID(int=7)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


@pytest.fixture
def status(config: Path, state: StateDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call the verb; its output and exit code."""
    monkeypatch.setenv("MY_TOKEN", "x")
    monkeypatch.setenv("PATH", "/nowhere")

    def call(**options) -> tuple[str, int]:
        try:
            verb.status(config=config, state_dir=state.path, **options)
            code = 0
        except typer.Exit as left:
            code = left.exit_code
        return capsys.readouterr().out, code

    return call


def test_status_before_the_first_start(status) -> None:
    shown, code = status()
    assert [line.split()[0] for line in shown.splitlines()] == ["service", "agent", "outbox", "next", "state"]
    assert code == 1


def test_status_is_one_screen_of_what_the_state_directory_knows(status, state: StateDir) -> None:
    asyncio.run(remember(state))
    state.pause.write(Pause(mode="schedule", until=NOW + 2 * HOUR))
    with state.lock():
        shown, code = status()
        facts = json.loads(status(as_json=True)[0])
    assert code == 0
    for part in (
        "agent      running (process ",
        "paused     on this box: the schedule; requests are still run, until ",
        "paused     by operators of the project: schedule and requests",
        "Supabase   does not answer since",
        "(1 h ago): the name could not be resolved",
        "clock      6.5 s ahead of Supabase's",
        "): the machine slept; 3 slots missed, 2 requests waited",
        "outbox     2 reports wait (1KiB), the oldest from 1 h ago",
        "set aside  1 reports that Supabase refuses for good",
        "hello 00000000-0000-0000-0000-000000000008 (ok): 22P05: not storable \N{REPLACEMENT CHARACTER}[31m",
        "runs now   broken since ",
    ):
        assert part in shown, part
    assert "next" not in shown
    assert len(shown.splitlines()) <= 20
    assert facts["outbox"]["reports"] == 2
    assert (facts["set_aside"], facts["running"][0]["run_id"], facts["next"][0]["job_id"]) == (1, str(RUNS), "nightly")
    assert (facts["box_paused"]["mode"], facts["operators_paused"]["mode"]) == ("schedule", "all")
    gone, code = status()
    assert (code, "last seen" in gone, "runs now" in gone) == (1, True, False)


async def remember(state: StateDir) -> None:
    """What an agent that ran for a while has written down."""
    journal = await Journal.open(state.database, SystemClock())
    common = {"trigger": Trigger.SCHEDULE, "status": RunStatus.OK, "started_at": NOW - HOUR, "finished_at": NOW - HOUR}
    await journal.record(a_report(run_id=UUID(int=8), job_id="hello", **common))
    (refused,) = await journal.pending(1, 1000)
    await journal.set_aside(refused.seq, "22P05: not storable \x1b[31m")
    await journal.record(a_report(run_id=UUID(int=9), job_id="hello", **common))
    running = common | {"status": RunStatus.RUNNING, "finished_at": None}
    await journal.record(a_report(run_id=RUNS, job_id="broken", **running))
    life = {"alive": NOW.isoformat(), "answers": False, "since": (NOW - HOUR).isoformat(), "skew_ms": 6500}
    life |= {"why": "the name could not be resolved", "realtime": "polling"}
    outage = {"from": (NOW - 9 * HOUR).isoformat(), "to": (NOW - HOUR).isoformat(), "cause": "asleep"}
    await journal.put(LIFE_NOTE, json.dumps(life))
    await journal.put(OUTAGE_NOTE, json.dumps(outage | {"slots_missed": 3, "requests_waiting": 2}))
    await journal.put(NOTE, json.dumps({"mode": "all", "until": None}))
    await journal.close()
