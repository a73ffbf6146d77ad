"""`pause`, `resume`, and how people say a time."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from agent.adapters.files import PauseFile
from agent.cli.pause import pause
from agent.cli.resume import resume
from agent.cli.until import parse_until
from agent.model import Pause

NOW = datetime(2026, 3, 28, 20, 30, tzinfo=UTC)
"""21:30 in Berlin, in the evening before its clocks are put forward."""


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-03-28T22:30"),
        ("1h30m", "2026-03-28T22:00"),
        ("22:15", "2026-03-28T21:15"),
        ("8:00", "2026-03-29T06:00"),  # tomorrow, in summer time
        ("tomorrow 22:15", "2026-03-29T20:15"),
        ("2026-12-24T18:00", "2026-12-24T17:00"),
        ("2026-12-24T18:00+00:00", "2026-12-24T18:00"),
        ("2026-12-24", "2026-12-23T23:00"),
    ],
)
def test_a_time_is_understood_as_a_person_means_it(berlin, text: str, expected: str) -> None:
    assert parse_until(text, NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"), [("soon", "no time"), ("25:00", "no time"), ("2026-01-01", "in the past"), ("", "no time")]
)
def test_what_is_no_time_to_come_is_refused_with_examples(text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=rf"{why}; try 2h"):
        parse_until(text, NOW)


def test_pausing_and_resuming_without_an_agent_and_without_supabase(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", "x")
    where: dict[str, Any] = {"config": config, "state_dir": tmp_path / "state"}
    pause(until="2h", schedule_only=True, **where)
    said = capsys.readouterr().out
    assert re.search(r"the schedule; requests are still run, until .*\(in (1 h|2 h)\)", said)
    assert "the next start will find it paused" in said
    pause(as_json=True, **where)
    assert json.loads(capsys.readouterr().out) == {"paused": {"mode": "all", "until": None}}
    resume(**where)
    assert "resumed" in capsys.readouterr().out
    resume(**where)
    assert "was not paused" in capsys.readouterr().out
    with pytest.raises(typer.BadParameter):
        pause(until="yesterday", **where)


def test_a_pause_file_that_is_damaged_still_holds_and_resuming_mends_it(tmp_path: Path) -> None:
    file = PauseFile(tmp_path / "pause.json")
    assert file.read() is None
    wanted = Pause(mode="schedule", until=NOW + timedelta(hours=1))
    PauseFile(tmp_path / "pause.json").write(wanted)
    assert file.read() == wanted
    (tmp_path / "pause.json").write_text('{"mode": "schedule", "until": "2026-01-01T00:00"}')
    assert file.read() == Pause(mode="all")
    file.clear()
    file.clear()
    assert file.read() is None
