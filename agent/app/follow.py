"""What a run prints, shown to a person: live while it goes on, from the report once it is over, everything once.

Pieces of `cron_run_logs` are read by `seq > n` once a second. An empty piece is the last; a run that was over at once
has none, and its report has it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from agent.adapters.supabase.people import People
from agent.errors import Refused, TemporaryError

T = TypeVar("T")
Row = dict[str, Any]

LOOK_EVERY_S = 0.25
"""Between looks at a request that waits or runs."""
READ_EVERY_S = 1.0
"""Between looks at live output."""
END_S = 5.0
"""How long the last pieces may come after the report."""
CANCEL_S = 60.0
"""How long the end may take after Ctrl-C: a beat, and the grace of most jobs."""
PATIENCE_S = 60.0
"""How long nobody may answer while we wait."""
FINAL = ("done", "error")


class Screen(Protocol):
    """Where it is shown."""

    def show(self, stream: str, text: str) -> None:
        """A piece of `stdout` or `stderr`."""
        ...

    def note(self, text: str) -> None:
        """One line of ours for the person."""
        ...


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a report holds: each stream, or (None) only the end of both together."""

    both: str | None
    streams: Mapping[str, str] | None = None

    @classmethod
    def of(cls, run: Row, request: Row | None = None) -> Stored:
        """Of a run that has ended, with its request's row where there is one."""
        result = (request or {}).get("result") or {}
        if result.get("run_id") != run["id"] or result.get("stdout_tail") is None:
            return cls(both=run.get("output"))
        streams = {"stdout": result["stdout_tail"], "stderr": result.get("stderr_tail") or ""}
        return cls(both=run.get("output"), streams=streams)

    def show(self, screen: Screen) -> None:
        """All of it."""
        if self.both is None and not self.streams:
            screen.note("its output is not kept any more")
            return
        for stream, text in (self.streams or {"stdout": self.both or ""}).items():
            if text:
                screen.show(stream, text)


class Watched:
    """One run on a screen."""

    def __init__(self, people: People, run_id: UUID, screen: Screen) -> None:
        self._people = people
        self._screen = screen
        self._shown = {"stdout": "", "stderr": ""}
        self._seq = -1
        self._ended = False
        self.run_id = run_id

    async def look(self) -> None:
        """Show what has come since."""
        for piece in await self._people.log_pieces(self.run_id, after=self._seq):
            self._seq = piece["seq"]
            self._ended = not piece["text"]
            self._shown[piece["stream"]] += piece["text"]
            self._screen.show(piece["stream"], piece["text"])

    async def finish(self, stored: Stored) -> None:
        """The run is over: show what is left of it."""
        await self.look()
        if self._seq < 0:
            stored.show(self._screen)
            return
        end = asyncio.get_running_loop().time() + END_S
        while not self._ended and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()
        if not self._ended:
            self._complete(stored)

    def _complete(self, stored: Stored) -> None:
        """The last pieces did not come; the report has the whole, if it was not too long."""
        if stored.streams and all(text.startswith(self._shown[stream]) for stream, text in stored.streams.items()):
            for stream, text in stored.streams.items():
                self._screen.show(stream, text[len(self._shown[stream]) :])
        else:
            self._screen.note(f"the rest did not come; what is stored: cronmirror logs {self.run_id}")


class Follower:
    """Waits for one request, whatever its attempts. `screen` None: only for its end."""

    def __init__(self, people: People, request_id: UUID, screen: Screen | None) -> None:
        self._people = people
        self._request_id = request_id
        self._screen = screen
        self._runs: dict[UUID, Watched] = {}
        self._done: set[UUID] = set()
        self._read_at = float("-inf")

    async def look(self) -> Row:
        """The request's row now, after showing what there is to show. Raises `Refused` where it is gone."""
        row = await self._people.get_request(self._request_id)
        if row is None:
            raise Refused(f"request {self._request_id} is gone, or you may not see it")
        now = asyncio.get_running_loop().time()
        if self._screen and (row["status"] in FINAL or now >= self._read_at + READ_EVERY_S):
            self._read_at = now
            await self._show(row, self._screen)
        return row

    async def _show(self, row: Row, screen: Screen) -> None:
        if not row.get("attempts", 1) and row["status"] not in FINAL:
            return
        for run in await self._people.runs_of_request(self._request_id):
            run_id = UUID(run["id"])
            if run_id in self._done:
                continue
            if run_id not in self._runs and run["attempt"] > 1:
                screen.note(f"attempt {run['attempt']}")
            watched = self._runs.setdefault(run_id, Watched(self._people, run_id, screen))
            if run["status"] == "running":
                await watched.look()
                return
            if run["started_at"] is not None:
                await watched.finish(Stored.of(run, row))
            self._done.add(run_id)


async def wait_for(
    people: People,
    request_id: UUID,
    *,
    screen: Screen | None = None,
    interrupted: asyncio.Event | None = None,
    on_cancel: Callable[[], None] = lambda: None,
) -> Row:
    """The request's row once it is `done` or `error`; its output goes to `screen` meanwhile.

    When `interrupted` is set, the request is cancelled (`on_cancel`), and its row is returned after `CANCEL_S` at the
    latest, ended or not. Raises `Refused` where it is gone, `Unreachable` when nobody has answered for `PATIENCE_S`.
    """
    follower = Follower(people, request_id, screen)
    asked = interrupted or asyncio.Event()
    end: float | None = None
    while True:
        row = await patient(follower.look)
        now = asyncio.get_running_loop().time()
        if row["status"] in FINAL or (end is not None and now >= end):
            return row
        if asked.is_set() and end is None:
            on_cancel()
            await patient(lambda: people.cancel(request_id))
            end = now + CANCEL_S
        await _nap(LOOK_EVERY_S, asked if end is None else None)


async def follow_run(people: People, run: Row, screen: Screen) -> Row:
    """Show a run to its end; its last row."""
    watched = Watched(people, UUID(run["id"]), screen)
    while run["status"] == "running":
        await patient(watched.look)
        await asyncio.sleep(READ_EVERY_S)
        run = await patient(lambda: _again(people, watched.run_id))
    await patient(lambda: _finish(people, run, watched))
    return run


async def show_run(people: People, run: Row, screen: Screen) -> None:
    """What there is of a run now: all live output, as long as it is kept whole, else what its report says."""
    pieces = await people.log_pieces(UUID(run["id"]), after=-1)
    whole = [piece["seq"] for piece in pieces] == list(range(len(pieces))) and pieces and not pieces[-1]["text"]
    if whole or run["status"] == "running":
        for piece in pieces:
            screen.show(piece["stream"], piece["text"])
    else:
        Stored.of(run, await _request_of(people, run)).show(screen)


async def patient(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until it is answered; raises `Unreachable` when nobody has for `PATIENCE_S`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while True:
        try:
            return await ask()
        except TemporaryError:
            if loop.time() >= end:
                raise
        await asyncio.sleep(READ_EVERY_S)


async def _finish(people: People, run: Row, watched: Watched) -> None:
    await watched.finish(Stored.of(run, await _request_of(people, run)))


async def _again(people: People, run_id: UUID) -> Row:
    runs = await people.runs_between(run_id, run_id)
    if not runs:
        raise Refused(f"run {run_id} is gone, or you may not see it any more")
    return runs[0]


async def _request_of(people: People, run: Row) -> Row | None:
    return await people.get_request(UUID(run["request_id"])) if run["request_id"] else None


async def _nap(seconds: float, until: asyncio.Event | None) -> None:
    """Wait, or until the event is set."""
    try:
        async with asyncio.timeout(seconds):
            await (until or asyncio.Event()).wait()
    except TimeoutError:
        return
