"""Following a run: every piece once, whatever comes late, is missing, or is over too soon to have any."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent.adapters.supabase.people import People
from agent.app import follow
from agent.app.follow import follow_run, show_run, wait_for
from agent.errors import Refused, Unreachable
from agent.model import Json

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY_S", "READ_EVERY_S"):
        monkeypatch.setattr(follow, name, 0.001)
    monkeypatch.setattr(follow, "END_S", 0.05)
    monkeypatch.setattr(follow, "CANCEL_S", 0.05)


class Screen:
    def __init__(self) -> None:
        self.out = self.err = ""
        self.notes: list[str] = []

    def show(self, stream: str, text: str) -> None:
        if stream == "stdout":
            self.out += text
        else:
            self.err += text

    def note(self, text: str) -> None:
        self.notes.append(text)


class Table(People):
    """One request and its runs. A test changes them look by look: `script` is called before each."""

    def __init__(self) -> None:
        self.row: Row | None = {"status": "queued", "attempts": 0}
        self.runs: list[Row] = []
        self.pieces: dict[str, list[Row]] = {}
        self.script: list[Any] = []
        self.reading: list[Any] = []
        """The same before each look at pieces."""
        self.cancelled = 0

    async def get_request(self, request_id: UUID) -> dict[str, Json] | None:
        if self.script:
            self.script.pop(0)()
        return self.row

    async def runs_of_request(self, request_id: UUID) -> Sequence[dict[str, Json]]:
        return self.runs

    async def runs_between(self, first: UUID, last: UUID, *, of_requests: bool = False) -> Sequence[dict[str, Json]]:
        if self.script:
            self.script.pop(0)()
        return [run for run in self.runs if run["id"] == str(first)]

    async def log_pieces(self, run_id: UUID, *, after: int) -> Sequence[dict[str, Json]]:
        if self.reading:
            self.reading.pop(0)()
        return [piece for piece in self.pieces.get(str(run_id), []) if piece["seq"] > after]

    async def cancel(self, request_id: UUID) -> dict[str, Json]:
        self.cancelled += 1
        return {}

    # ── what a test says ────────────────────────────────────────────────────

    def begin(self, attempt: int = 1) -> Row:
        run = {"id": str(uuid4()), "status": "running", "attempt": attempt, "started_at": "then", "output": None}
        self.runs.append({**run, "request_id": None})
        self.row = {"status": "running", "attempts": attempt}
        return self.runs[-1]

    def print(self, run: Row, *texts: str, stream: str = "stdout") -> None:
        pieces = self.pieces.setdefault(run["id"], [])
        pieces += [{"seq": len(pieces) + n, "stream": stream, "text": text} for n, text in enumerate(texts)]

    def end(self, run: Row, status: str = "ok", *, out: str = "", err: str = "", final: bool = True) -> None:
        run.update(status=status, output=out + err)
        result = {"run_id": run["id"], "stdout_tail": out, "stderr_tail": err}
        if final:
            self.row = {"status": "done" if status == "ok" else "error", "attempts": 1, "result": result}
        else:
            self.row = {"status": "queued", "attempts": 1}


async def watched(table: Table) -> Screen:
    screen = Screen()
    await wait_for(table, uuid4(), screen=screen)
    return screen


async def test_pieces_are_shown_as_they_come_and_once() -> None:
    table = Table()

    def over() -> None:
        table.print(table.runs[0], "three\n", "")
        table.end(table.runs[0], out="one\nthree\n", err="two\n")

    table.script = [
        lambda: None,
        table.begin,
        lambda: table.print(table.runs[0], "one\n"),
        lambda: table.print(table.runs[0], "two\n", stream="stderr"),
        lambda: None,
        over,
    ]
    screen = await watched(table)
    assert (screen.out, screen.err, screen.notes) == ("one\nthree\n", "two\n", [])


async def test_a_run_without_pieces_is_shown_from_its_report() -> None:
    table = Table()
    table.script = [lambda: table.end(table.begin(), out="hello\n", err="oh\n")]
    screen = await watched(table)
    assert (screen.out, screen.err) == ("hello\n", "oh\n")


async def test_last_pieces_that_come_after_the_report_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "END_S", 5)
    table = Table()
    run = table.begin()
    table.print(run, "one\n")
    table.end(run, out="left out\n")
    table.reading = [lambda: None, lambda: None, lambda: table.print(run, "two\n", "")]
    screen = await watched(table)
    assert (screen.out, screen.notes) == ("one\ntwo\n", [])


async def test_last_pieces_that_never_come_are_taken_from_the_report() -> None:
    table = Table()
    run = table.begin()
    table.print(run, "one\n")
    table.end(run, out="one\ntwo\n", err="three\n")
    screen = await watched(table)
    assert (screen.out, screen.err, screen.notes) == ("one\ntwo\n", "three\n", [])


async def test_where_the_report_is_no_longer_whole_it_says_where_to_look() -> None:
    table = Table()
    run = table.begin()
    table.print(run, "one\n")
    table.end(run, out="… 9 bytes left out …\nend\n")
    screen = await watched(table)
    assert screen.out == "one\n"
    assert screen.notes == [f"the rest did not come; what is stored: cronmirror logs {run['id']}"]


async def test_every_attempt_is_shown_once_the_unseen_ones_too() -> None:
    table = Table()
    table.script = [
        lambda: table.end(table.begin(), "error", out="first\n", final=False),
        lambda: None,
        lambda: table.end(table.begin(2), out="second\n"),
    ]
    screen = await watched(table)
    assert (screen.out, screen.notes) == ("first\nsecond\n", ["attempt 2"])


async def test_ctrl_c_cancels_once_and_waits_for_the_end() -> None:
    table, asked, said = Table(), asyncio.Event(), []
    table.begin()

    async def cancel(request_id: UUID) -> dict[str, Json]:
        table.cancelled += 1
        table.script = [lambda: None, lambda: None, lambda: table.end(table.runs[0], "cancelled")]
        return {}

    table.cancel = cancel
    table.script = [lambda: None, asked.set]
    row = await wait_for(table, uuid4(), interrupted=asked, on_cancel=lambda: said.append("cancelling"))
    assert row["status"] == "error"
    assert (table.cancelled, said) == (1, ["cancelling"])


async def test_an_end_that_does_not_come_after_ctrl_c_is_waited_for_within_a_limit() -> None:
    table, asked = Table(), asyncio.Event()
    table.begin()
    asked.set()
    assert (await wait_for(table, uuid4(), interrupted=asked))["status"] == "running"
    assert table.cancelled == 1


async def test_a_network_that_blinks_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()

    def blink() -> None:
        raise Unreachable("gone")

    table.script = [blink, blink, lambda: table.end(table.begin(), out="hello\n")]
    assert (await watched(table)).out == "hello\n"
    monkeypatch.setattr(follow, "PATIENCE_S", 0.01)
    table = Table()
    table.script = [blink] * 100
    with pytest.raises(Unreachable):
        await watched(table)


async def test_a_scheduled_run_is_followed_and_shown_afterwards() -> None:
    table, screen = Table(), Screen()
    run = table.begin()
    table.print(run, "one\n")

    def over() -> None:
        table.print(run, "two\n", "")
        table.end(run, out="only the end\n")

    table.script = [lambda: None, over]
    assert (await follow_run(table, dict(run), screen))["status"] == "ok"
    assert screen.out == "one\ntwo\n"
    await show_run(table, run, again := Screen())
    assert again.out == "one\ntwo\n", "whole while it is kept"
    del table.pieces[run["id"]][0]
    await show_run(table, run, again := Screen())
    assert again.out == "only the end\n"
    run["output"] = None
    await show_run(table, run, again := Screen())
    assert again.notes == ["its output is not kept any more"]


async def test_a_run_that_is_removed_meanwhile_is_not_waited_for() -> None:
    table = Table()
    run = table.begin()
    table.script = [table.runs.clear]
    with pytest.raises(Refused, match="is gone"):
        await follow_run(table, run, Screen())
