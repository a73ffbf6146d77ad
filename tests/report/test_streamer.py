"""The log streamer: when it calls, what it says, and that nothing and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from agent.errors import Refused, Unreachable
from agent.model import LogPiece, Run
from agent.report.link import Link
from agent.report.streamer import EVERY_S, FAIR_BYTES, FIRST_S, MAX_ENDED, PATIENCE, LogStreamer
from agent.report.tap import BUFFER_BYTES
from agent.run.redact import Redactor
from tests.support.clock import VirtualClock
from tests.support.fake_runs import a_job, a_run

BIG = b"x" * BUFFER_BYTES


class Server:
    """`agent.ports.LogCall`. Keeps the pieces of runs it knows; None: of all."""

    def __init__(self) -> None:
        self.calls: list[Sequence[LogPiece]] = []
        self.kept: dict[tuple[UUID, int], LogPiece] = {}
        self.known: set[UUID] | None = None
        self.refuses: set[UUID] = set()
        self.down = self.answer_lost = False

    async def append_logs(self, pieces: Sequence[LogPiece]) -> frozenset[UUID]:
        self.calls.append(pieces)
        if self.down:
            raise Unreachable("nobody answers")
        if any(piece.run_id in self.refuses for piece in pieces):
            raise Refused("no", code="22023", status=400)
        asked = {piece.run_id for piece in pieces}
        known = asked if self.known is None else asked & self.known
        for piece in pieces:
            if piece.run_id in known:
                self.kept.setdefault((piece.run_id, piece.seq), piece)
        if self.answer_lost:
            self.answer_lost = False
            raise Unreachable("the answer was lost")
        return frozenset(asked - known)

    def text(self, run: Run) -> str:
        """What somebody watching this run has seen; `∎` where he was told that it is over."""
        pieces = sorted((seq, piece.text) for (run_id, seq), piece in self.kept.items() if run_id == run.id)
        assert [seq for seq, _ in pieces] == list(range(len(pieces)))
        return "".join(text or "∎" for _, text in pieces)


class World:
    """A streamer at work in virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.link = Link()
        self.server = Server()
        self.streamer = LogStreamer(self.server, self.link, Redactor(["hunter22"]), self.clock)
        self.link.reached()

    def begin(self, **fields):
        run = a_run(a_job(**fields))
        return run, self.streamer.open(run)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    loop = asyncio.ensure_future(world.streamer.run())
    yield world
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_output_is_sent_soon_then_once_a_second_and_its_end_at_once(world: World) -> None:
    run, sink = world.begin()
    sink.feed("stdout", b"one\n")
    await world.clock.advance(FIRST_S - 0.1)
    assert world.server.calls == []
    await world.clock.advance(0.1)
    assert world.server.text(run) == "one\n"
    for word in (b"two\n", b"three\n"):
        sink.feed("stderr", word)
        await world.clock.advance(EVERY_S / 2)
    assert len(world.server.calls) == 2
    assert world.server.text(run) == "one\ntwo\nthree\n"
    sink.feed("stdout", b"pass hunter22")
    sink.close()
    await world.clock.advance(0.3)
    assert world.server.text(run) == "one\ntwo\nthree\npass ***∎"
    assert len(world.server.calls) == 3
    await world.clock.advance(3600)
    assert len(world.server.calls) == 3, "an idle agent sends nothing"


async def test_a_run_whose_report_says_it_all_sends_nothing(world: World) -> None:
    _, short = world.begin()
    short.feed("stdout", b"hello\n")
    await world.clock.advance(FIRST_S - 0.01)
    short.close()
    _, silent = world.begin()
    await world.clock.advance(60)
    silent.close()
    await world.clock.advance(60)
    assert world.server.calls == []


async def test_a_short_run_that_prints_more_than_its_report_holds_is_sent(world: World) -> None:
    run, sink = world.begin(output_limit=100)
    sink.feed("stdout", b"y" * 101)
    sink.close()
    await world.clock.advance(FIRST_S)
    assert world.server.text(run) == "y" * 101 + "∎"


async def test_many_runs_share_one_call_and_a_noisy_one_delays_none(world: World) -> None:
    noisy = [world.begin() for _ in range(20)]
    quiet, sink = world.begin()
    for _, each in noisy:
        each.feed("stdout", BIG)
    sink.feed("stdout", b"hello\n")
    await world.clock.advance(FIRST_S + EVERY_S)
    assert world.server.text(quiet) == "hello\n"
    for call in world.server.calls:
        of_one = {run.id: sum(len(piece.text) for piece in call if piece.run_id == run.id) for run, _ in noisy}
        assert max(of_one.values()) <= FAIR_BYTES
        assert sum(of_one.values()) <= 10 * FAIR_BYTES


async def test_a_start_that_is_not_reported_yet_loses_no_piece(world: World) -> None:
    run, sink = world.begin()
    world.server.known = set()
    sink.feed("stdout", b"one\n")
    await world.clock.advance(20)
    assert 3 <= len(world.server.calls) <= 6, "ever more rarely"
    sink.feed("stdout", b"two\n")
    world.server.known = {run.id}
    await world.clock.advance(31)
    assert world.server.text(run) == "one\ntwo\n"
    sink.close()
    await world.clock.advance(1)
    assert world.server.text(run) == "one\ntwo\n∎"


async def test_a_run_that_the_server_never_knows_is_given_up_after_its_end(world: World) -> None:
    world.server.known = set()
    _, sink = world.begin()
    sink.feed("stdout", b"one\n")
    await world.clock.advance(1)
    sink.close()
    await world.clock.advance(3600)
    assert len(world.server.calls) == PATIENCE


async def test_a_lost_answer_doubles_nothing(world: World) -> None:
    run, sink = world.begin()
    sink.feed("stdout", b"one\n")
    world.server.answer_lost = True
    await world.clock.advance(FIRST_S)
    sink.feed("stdout", b"two\n")
    await world.clock.advance(3)
    assert world.server.text(run) == "one\ntwo\n"


async def test_a_dead_network_is_asked_rarely_and_keeps_no_more_than_the_end(world: World) -> None:
    run, sink = world.begin()
    world.server.down = True
    for _ in range(300):
        sink.feed("stdout", BIG)
        await world.clock.advance(1)
    assert len(world.server.calls) < 15
    for _ in range(MAX_ENDED * 2):
        _, ended = world.begin()
        ended.feed("stdout", BIG)
        ended.close()
    world.server.down = False
    world.server.calls.clear()
    await world.clock.advance(120)
    text = world.server.text(run)
    assert "bytes left out …\n" in text
    assert len(text) < BUFFER_BYTES + FAIR_BYTES + 100
    assert len({piece.run_id for call in world.server.calls for piece in call}) == MAX_ENDED + 1


async def test_nothing_is_sent_to_a_server_that_does_not_know_the_agent(world: World) -> None:
    run, sink = world.begin()
    _, ends = world.begin(output_limit=1)
    world.link.lost()
    sink.feed("stdout", b"one\n")
    ends.feed("stdout", b"gone\n")
    ends.close()
    await world.clock.advance(60)
    assert world.server.calls == []
    world.link.reached()
    await world.clock.advance(1)
    assert world.server.text(run) == "one\n"
    assert {piece.run_id for call in world.server.calls for piece in call} == {run.id}


async def test_a_gap_at_the_end_of_a_run_loses_nothing_of_it(world: World) -> None:
    run, sink = world.begin()
    sink.feed("stdout", b"one\n")
    await world.clock.advance(1)
    world.link.lost()
    sink.feed("stdout", b"two\n")
    sink.close()
    await world.clock.advance(60)
    world.link.reached()
    await world.clock.advance(1)
    assert world.server.text(run) == "one\ntwo\n∎"


async def test_what_one_run_printed_is_refused_and_the_others_are_heard(world: World) -> None:
    culprit, bad = world.begin()
    run, sink = world.begin()
    world.server.refuses = {culprit.id}
    for _ in range(3):
        bad.feed("stdout", b"poison\n")
        sink.feed("stdout", b"fine\n")
        await world.clock.advance(1)
    assert world.server.text(run) == "fine\n" * 3
    asked = [call for call in world.server.calls if any(piece.run_id == culprit.id for piece in call)]
    assert len(asked) == 2, "with the others, then alone, then never again"
    bad.close()


async def test_at_shutdown_the_last_pieces_are_sent_within_a_limit(world: World) -> None:
    run, sink = world.begin()
    sink.feed("stdout", b"one\n")
    await world.clock.advance(FIRST_S)
    other, still = world.begin()
    still.feed("stdout", b"goes on\n")
    sink.feed("stdout", BIG)
    sink.close()
    await world.streamer.flush(2.0)
    assert world.server.text(run) == "one\n" + BIG.decode() + "∎"
    assert world.server.text(other) == ""
