"""Hello and beats: who hears what, and what every kind of trouble leads to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from structlog.testing import capture_logs

from agent.errors import (
    Forgotten,
    HelloRefused,
    NeedsSignIn,
    Refused,
    SchemaMissing,
    StateError,
    Superseded,
    Unreachable,
)
from agent.model import Hello, Pause, RunningRun
from agent.report.heartbeat import BEAT_S, LAST_BEAT_S, Heartbeat, Listeners, Vitals
from agent.report.link import Link
from agent.report.pauses import Pauses
from tests.support.clock import VirtualClock, settle
from tests.support.fake_memory import FakeBoxPause, FakeNotes
from tests.support.fake_stages import FakeJobs, FakeRunner, a_job
from tests.support.fake_supabase import FakeSupabase


class House:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = FakeSupabase(clock=self.clock)
        self.link = Link()
        self.notes = FakeNotes()
        self.box = FakeBoxPause()
        self.outage = None
        self.pauses = Pauses(self.notes, self.clock, self.box)
        self.runner = FakeRunner()
        self.healthy, self.config_error, self.draining, self.probe = True, None, False, False
        self.known: tuple = ()
        self.no_memory = False
        self.hellos: list = []
        self.replies: list = []
        self.heartbeat = Heartbeat(
            self.server,
            self.greeting,
            Vitals(
                runner=self.runner,
                jobs=FakeJobs(a_job("a"), a_job("b")),
                realtime_healthy=lambda: self.healthy,
                config_error=lambda: self.config_error,
                draining=lambda: self.draining,
                outage=lambda: self.outage,
                want_probe=lambda: self.probe,
                known=self.known_requests,
            ),
            Listeners(hello=(self.hellos.append,), beat=(self.replies.append,)),
            self.link,
            self.pauses,
            self.clock,
        )

    async def known_requests(self) -> tuple:
        if self.no_memory:
            raise StateError("the disk is full")
        return self.known

    async def greeting(self) -> Hello:
        return Hello(instance=uuid4(), info={}, known=self.known)

    @property
    def beats(self) -> int:
        return self.server.count("beat")


@asynccontextmanager
async def running(house: House):
    task = asyncio.ensure_future(house.heartbeat.run())
    await settle()
    yield house
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_hello_comes_first_and_the_first_beat_at_once() -> None:
    async with running(House()) as house:
        assert [name for name, _ in house.server.calls] == ["hello", "beat"]
        assert house.hellos[0].epoch == 1
        assert len(house.replies) == 1
        assert house.link.accepted


async def test_a_beat_comes_every_fifteen_seconds() -> None:
    async with running(House()) as house:
        await house.clock.advance(60)
        assert house.beats == 5


async def test_a_beat_says_how_the_agent_is() -> None:
    house = House()
    request, run = uuid4(), uuid4()
    house.runner.active = {
        run: RunningRun(run_id=run, job_id="a", request_id=request, claims=2),
        uuid4(): RunningRun(run_id=uuid4(), job_id="b"),
    }
    house.healthy, house.config_error, house.draining, house.probe = False, "config.yaml:3: no", True, True
    async with running(house):
        (state,) = house.server.states
        assert (state.state, state.realtime, state.running, state.jobs) == ("draining", "polling", 2, 2)
        assert (state.config_error, state.probe) == ("config.yaml:3: no", True)
        assert [each.request_id for each in house.server.said("beat")[0]] == [request]


async def test_an_agent_that_stops_hands_back_what_it_does_not_know() -> None:
    house = House()
    waits, runs = house.server.queue(), house.server.queue()
    async with running(house):
        await house.server.claim(1, ["a"], 2, 60)
        await house.clock.advance(BEAT_S)
        assert house.server.rows[waits].status == "running"
        house.draining, house.known = True, (runs,)
        house.heartbeat.beat_now()
        await settle()
        assert [house.server.rows[each].status for each in (waits, runs)] == ["queued", "running"]
    house.known = ()
    await house.heartbeat.stop()
    assert house.server.rows[runs].status == "queued"
    assert [state.known for state in house.server.states[-2:]] == [(runs,), ()]


async def test_an_agent_that_cannot_remember_hands_nothing_back() -> None:
    house = House()
    waits = house.server.queue()
    async with running(house):
        await house.server.claim(1, ["a"], 1, 60)
        house.draining = house.no_memory = True
        await house.clock.advance(BEAT_S)
        assert house.server.states[-1].state == "draining"
        assert house.server.rows[waits].status == "running"


async def test_a_wake_up_for_a_cancellation_does_not_wait_for_the_next_beat() -> None:
    async with running(House()) as house:
        await house.clock.advance(1)
        for _ in range(5):
            house.heartbeat.beat_now()
        await settle()
        assert house.beats == 2
        await house.clock.advance(14)
        assert house.beats == 2


async def test_hello_is_repeated_until_somebody_answers_and_says_so_once() -> None:
    house = House()
    house.server.down = True
    with capture_logs() as logs:
        async with running(house):
            await house.clock.advance(120)
            assert house.beats == 0
            assert 8 < house.server.count("hello") < 25
            house.server.down = False
            await house.clock.advance(15)
            assert house.link.accepted
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == [
        "hello failed; trying again",
        "Supabase answers again",
        "Supabase knows this agent",
    ]


async def test_a_hello_whose_answer_was_lost_is_asked_again() -> None:
    house = House()
    house.server.lose_answer("hello")
    async with running(house):
        await house.clock.advance(2)
        assert house.hellos[0].epoch == 2


async def test_another_living_agent_is_named_and_left_alone() -> None:
    house = House()
    house.server.other_host = "old-mac"
    with capture_logs() as logs:
        async with running(house):
            await house.clock.advance(600)
            assert house.heartbeat.ended.is_set()
            assert isinstance(house.heartbeat.why, HelloRefused)
            assert house.server.count("hello") == 1
            assert not house.link.accepted
    assert [line["error"] for line in logs if line["log_level"] == "error"] == ["another agent is alive on old-mac"]


async def test_a_server_that_forgot_the_agent_is_greeted_anew() -> None:
    async with running(House()) as house:
        house.server.fail("beat", Forgotten("say hello first"))
        await house.clock.advance(BEAT_S)
        assert not house.link.accepted
        await house.clock.advance(2)
        assert house.server.count("hello") == 2
        assert house.link.accepted


async def test_a_missing_schema_and_a_missing_sign_in_are_errors_with_a_hint_and_tried_again() -> None:
    house = House()
    house.server.fail("hello", SchemaMissing("no cron_agent_hello", hint="Run `cronmirror migrate`."))
    house.server.fail("hello", NeedsSignIn("nobody is signed in", hint="Run `cronmirror login`."))
    with capture_logs() as logs:
        async with running(house):
            await house.clock.advance(10)
            assert house.link.accepted
    hints = [line["hint"] for line in logs if line["log_level"] == "error"]
    assert hints == ["Run `cronmirror migrate`.", "Run `cronmirror login`."]


async def test_a_missed_beat_begins_a_gap_and_is_tried_again_soon() -> None:
    async with running(House()) as house:
        house.server.fail("beat", Unreachable("timeout"))
        await house.clock.advance(BEAT_S)
        assert not house.link.accepted
        await house.clock.advance(1)
        assert house.link.accepted
        assert house.link.gap == 2


async def test_a_refused_beat_is_no_gap_in_the_network_but_stops_claims_all_the_same() -> None:
    async with running(House()) as house:
        house.server.fail("beat", Refused("42501: not your agent", code="42501", status=403))
        await house.clock.advance(BEAT_S)
        assert not house.link.accepted
        await house.clock.advance(1)
        assert house.link.accepted


async def test_a_failure_of_another_call_makes_the_beat_look_soon() -> None:
    async with running(House()) as house:
        await house.clock.advance(1)
        house.link.lost()
        await house.clock.advance(1)
        assert house.link.accepted
        assert house.beats == 2


async def test_waking_beats_at_once_also_in_the_midst_of_a_backoff_which_begins_anew() -> None:
    again: list[str] = []
    house = House()
    house.heartbeat._listeners = Listeners(again=(lambda: again.append("again"),))
    async with running(house):
        await house.clock.advance(1)
        house.heartbeat.wake()
        await settle()
        assert house.beats == 2
        house.server.down = True
        await house.clock.advance(300)
        rests = asyncio.ensure_future(house.link.wait_recovered())
        house.heartbeat.wake()
        await settle()
        before = house.beats
        await house.clock.advance(1)
        assert house.beats == before + 1
        house.server.down = False
        house.heartbeat.hurry()
        await settle()
        assert house.link.accepted
        assert rests.done()
        assert again == ["again"]
        after = house.beats
        house.heartbeat.hurry()
        await house.clock.advance(1)
        assert house.beats == after


async def test_a_hello_that_waits_is_said_again_when_woken() -> None:
    house = House()
    house.server.down = True
    async with running(house):
        await house.clock.advance(100)
        house.server.down = False
        house.heartbeat.wake()
        await settle()
        assert house.link.accepted


async def test_a_superseded_agent_says_so_and_never_speaks_again() -> None:
    async with running(House()) as house:
        house.server.taken_over = True
        with capture_logs() as logs:
            await house.clock.advance(BEAT_S)
        assert house.heartbeat.ended.is_set()
        house.server.taken_over = False
        await house.clock.advance(600)
        assert house.beats == 2
        house.link.reached()
        assert not house.link.accepted
        assert "another process is this agent" in logs[0]["event"]
        await house.heartbeat.stop()
        assert house.beats == 2


async def test_the_last_beat_says_stopped_and_takes_three_seconds_at_most() -> None:
    house = House()
    async with running(house):
        pass
    await house.heartbeat.stop()
    assert house.server.states[-1].state == "stopped"
    house.server.fail("beat", Superseded("older epoch"))
    await house.heartbeat.stop()

    async def never(running, state, job_ids):
        await asyncio.Event().wait()

    house.server.beat = never
    stopping = asyncio.ensure_future(house.heartbeat.stop())
    await house.clock.advance(LAST_BEAT_S + 0.1)
    assert stopping.done()


async def test_the_clocks_skew_is_measured_coarsely_and_told_with_the_next_beat() -> None:
    house = House()
    house.server.skew = timedelta(seconds=-90.1)
    async with running(house):
        await house.clock.advance(BEAT_S)
        house.server.skew = timedelta(seconds=-90.3)
        await house.clock.advance(BEAT_S * 2)
    assert [state.clock_skew_ms for state in house.server.states] == [None, 90_000, 90_000, 90_000]


async def test_a_slow_answer_says_nothing_about_the_clock() -> None:
    house = House()
    beat = house.server.beat

    async def slow(running, state, job_ids):
        await house.clock.sleep(5)
        return await beat(running, state, job_ids)

    house.server.beat = slow
    async with running(house):
        await house.clock.advance(30)
    assert {state.clock_skew_ms for state in house.server.states} == {None}


# ── pauses ──────────────────────────────────────────────────────────────────


async def test_a_beat_pauses_and_resumes() -> None:
    house = House()
    house.server.pause = Pause(mode="schedule")
    async with running(house):
        assert house.pauses.paused("schedule")
        assert not house.pauses.paused("claims")
        house.server.pause = Pause(mode="all")
        await house.clock.advance(BEAT_S)
        assert house.pauses.paused("schedule")
        assert house.pauses.paused("claims")
        house.server.pause = None
        await house.clock.advance(BEAT_S)
        assert not house.pauses.paused("schedule")


async def test_a_pause_ends_at_its_hour_without_a_network_and_survives_a_restart() -> None:
    clock, notes = VirtualClock(), FakeNotes()
    pauses = Pauses(notes, clock, FakeBoxPause())
    await pauses.load()
    assert not pauses.paused("claims")
    await pauses.learn(Pause(mode="all", until=clock.now() + timedelta(hours=1)))
    after_restart = Pauses(notes, clock, FakeBoxPause())
    await after_restart.load()
    assert after_restart.paused("claims")
    await clock.advance(3600)
    assert not after_restart.paused("claims")
    await pauses.learn(None)
    await after_restart.load()
    assert not after_restart.paused("claims")


async def test_a_pause_until_resumed_survives_a_restart_and_so_does_resuming() -> None:
    clock, notes = VirtualClock(), FakeNotes()
    for pause in (Pause(mode="schedule"), None):
        await (last := Pauses(notes, clock, FakeBoxPause())).load()
        await last.learn(pause)
        again = Pauses(notes, clock, FakeBoxPause())
        await again.load()
        assert again.paused("schedule") is (pause is not None)


async def test_a_pause_holds_even_when_it_cannot_be_written() -> None:
    pauses = Pauses(FakeNotes(broken=True), VirtualClock(), FakeBoxPause())
    with capture_logs() as logs:
        await pauses.learn(Pause(mode="all"))
    assert pauses.paused("claims")
    assert logs[-1]["event"] == "the pause will not survive a restart"


async def test_the_boxs_own_pause_is_noticed_told_and_over_at_its_hour() -> None:
    house = House()
    changes: list[bool] = []
    house.pauses._changed = lambda: changes.append(house.pauses.paused("schedule"))
    looking = asyncio.ensure_future(house.pauses.run())
    async with running(house):
        house.box.pause = Pause(mode="schedule", until=house.clock.now() + timedelta(minutes=10))
        await house.clock.advance(1)
        assert changes == [True]
        assert not house.pauses.paused("claims")
        await house.clock.advance(BEAT_S)
        assert house.server.states[-1].pause == house.box.pause
        house.server.pause = Pause(mode="all")
        await house.clock.advance(BEAT_S)
        house.box.pause = None
        await house.clock.advance(1)
        assert house.pauses.paused("schedule"), "the operators' is still on"
        house.server.pause = None
        await house.clock.advance(BEAT_S)
        assert not house.pauses.paused("schedule")
        house.box.pause = Pause(mode="all", until=house.clock.now() + timedelta(minutes=10))
        await house.clock.advance(600)
        assert house.pauses.own is None
        assert changes == [True, True, True, False]
    looking.cancel()


async def test_a_clock_that_is_wrong_is_said_once_per_change() -> None:
    house = House()
    with capture_logs() as logs:
        async with running(house):
            for seconds in (6, 6.7, 3600, 3601, 0):
                house.server.skew = timedelta(seconds=-seconds)
                await house.clock.advance(BEAT_S * 2)
    said = [(line["event"], line["ahead_s"]) for line in logs if "clock" in line["event"]]
    wrong = "this machine's clock is wrong, or Supabase's is"
    assert said == [(wrong, 6.0), (wrong, 3600.0), ("this machine's clock is right again", 0.0)]
