"""What is told of a time in which Supabase did not hear this agent."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

from structlog.testing import capture_logs

from agent.errors import Unreachable
from agent.model import BeatReply
from agent.report.outages import ALIVE_EVERY_S, LIFE_NOTE, OUTAGE_NOTE, SETTLE_S, Outages
from tests.support.clock import VirtualClock, settle
from tests.support.fake_memory import FakeNotes

DOWN = Unreachable("the name could not be resolved")


class House:
    def __init__(self, clock: VirtualClock | None = None, notes: FakeNotes | None = None) -> None:
        self.clock, self.notes = clock or VirtualClock(), notes or FakeNotes()
        self.told = 0
        self.outages = Outages(self.notes, self.clock, self.tell, lambda: "polling: no reason")

    def tell(self) -> None:
        self.told += 1

    def beat(self, due: int = 0, skew_ms: int | None = 0) -> None:
        self.outages.on_beat(BeatReply(server_time=self.clock.now(), due=due), skew_ms)

    @property
    def life(self) -> dict:
        return json.loads(self.notes.values[LIFE_NOTE])


@asynccontextmanager
async def living(house: House):
    await house.outages.load()
    task = asyncio.ensure_future(house.outages.run())
    await settle()
    yield house
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_outage_is_told_once_after_the_return() -> None:
    async with living(House()) as house:
        house.beat()
        start = house.clock.now()
        await house.clock.advance(10)
        house.outages.on_silence(DOWN)
        await house.clock.advance(600)
        house.outages.on_silence(DOWN)
        assert (house.life["answers"], house.life["why"]) == (False, str(DOWN))
        with capture_logs() as logs:
            house.beat(due=3)
            house.outages.on_missed(2)
            await house.clock.advance(SETTLE_S)
            house.beat()
            await house.clock.advance(600)
        (line,) = [line for line in logs if line["event"] == "back after an outage"]
        told = (line["cause"], line["seconds"], line["slots_missed"], line["requests_waiting"])
        assert told == ("offline", 610, 2, 3)
        assert house.outages.last == {
            "from": start.isoformat(timespec="seconds"),
            "to": (start + timedelta(seconds=610)).isoformat(timespec="seconds"),
            "cause": "offline",
            "slots_missed": 2,
            "requests_waiting": 3,
        }
        assert json.loads(house.notes.values[OUTAGE_NOTE]) == house.outages.last
        assert house.told == 1
        assert house.life["answers"] is True


async def test_a_short_silence_is_no_outage() -> None:
    async with living(House()) as house:
        house.beat()
        house.outages.on_silence(DOWN)
        await house.clock.advance(29)
        house.beat()
        await house.clock.advance(60)
        assert house.outages.last is None


async def test_sleep_is_an_outage_also_where_the_network_comes_back_later() -> None:
    async with living(House()) as house:
        house.beat()
        house.clock.step_wall(timedelta(hours=8))
        house.outages.on_jump(8 * 3600)
        house.outages.on_silence(DOWN)
        house.outages.on_missed(8)
        await house.clock.advance(20)
        house.beat(due=1)
        await house.clock.advance(5)
        assert house.outages.last is not None
        assert (house.outages.last["cause"], house.outages.last["slots_missed"]) == ("asleep", 8)
        house.outages.on_missed(1)
        house.outages.on_jump(-3600)
        house.beat()
        await house.clock.advance(5)
        assert house.told == 1


async def test_the_last_sign_of_life_tells_how_long_the_agent_was_down() -> None:
    house = House()
    async with living(house):
        house.beat(skew_ms=500)
        await house.clock.advance(ALIVE_EVERY_S + 1)
    house.clock.step_wall(timedelta(hours=1))
    async with living(House(house.clock, house.notes)) as again:
        assert again.life["skew_ms"] == 500
        await again.clock.advance(40)
        again.beat()
        await again.clock.advance(5)
        assert again.outages.last is not None
        assert again.outages.last["cause"] == "agent_down"
    async with living(House(house.clock, house.notes)) as at_once:
        at_once.beat()
        await at_once.clock.advance(5)
        assert (at_once.told, at_once.outages.last) == (0, again.outages.last)


async def test_notes_that_cannot_be_written_are_only_logged() -> None:
    with capture_logs() as logs:
        async with living(House(notes=FakeNotes(broken=True))) as house:
            house.outages.on_silence(DOWN)
            await house.clock.advance(60)
            house.beat()
            await house.clock.advance(5)
    assert house.outages.last is not None
    assert {line["event"] for line in logs} >= {"a note about this agent's life could not be written"}
