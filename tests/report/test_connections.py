"""How connections stand: after hello, after each change, and again where it was not heard."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from agent.errors import Refused, Unreachable
from agent.model import BeatReply, HelloReply, Standing
from agent.report.connections import REFUSED_S, ConnectionReports
from agent.report.link import Link
from tests.support.clock import VirtualClock, settle
from tests.support.fake_reconnects import FakeConnectionCalls, FakeKeeper, a_request

DRIVE = Standing(connection_id="drive", provider="google", is_active=True)
DOWN = Standing(connection_id="drive", provider="google", needs_reauth=True)
MAIL = Standing(connection_id="mail", provider="google", is_active=True)


class House:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.calls = FakeConnectionCalls()
        self.keeper = FakeKeeper(known={}, stand={"drive": DRIVE, "mail": MAIL})
        self.link = Link()
        self.attended: list = []
        self.reports = ConnectionReports(
            self.keeper, self.calls, self.link, self.clock, attend=lambda each: self.attended.append(list(each))
        )

    async def change(self, *standings: Standing, gone: str | None = None) -> None:
        self.keeper.change(*standings, gone=gone)
        await settle()

    async def hello(self) -> None:
        self.reports.on_hello(HelloReply(epoch=2, role="agent", schema_version=1, server_time=self.clock.now()))
        await settle()


@asynccontextmanager
async def running(house: House):
    task = asyncio.ensure_future(house.reports.run())
    house.link.reached()
    await settle()
    yield house
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_all_after_hello_then_what_changed_and_what_is_left() -> None:
    async with running(House()) as house:
        assert house.calls.reports == [(["drive", "mail"], ["drive", "mail"])]
        await house.change(DOWN)
        assert house.calls.reports[1:] == [(["drive"], ["drive", "mail"])]
        await house.change(gone="mail")
        assert house.calls.reports[2:] == [([], ["drive"])]
        await house.hello()
        assert house.calls.reports[3:] == [(["drive"], ["drive"])]
        await house.clock.advance(3600)
        assert len(house.calls.reports) == 4, "nothing new, nothing said"


async def test_a_beat_that_counts_reconnects_makes_it_look_and_others_do_not() -> None:
    async with running(House()) as house:
        house.calls.requests = (request := a_request(),)
        for asked in (0, 1):
            house.reports.on_beat(BeatReply(server_time=house.clock.now(), reconnects=asked))
            await settle()
        assert house.attended == [[], [request]]
        house.reports.kick()
        await settle()
        assert len(house.attended) == 3
        await house.reports.show()
        assert len(house.attended) == 3, "the one who asks for it attends himself"


async def test_what_was_not_heard_is_said_again() -> None:
    house = House()
    house.calls.failing = [Unreachable("no"), Unreachable("no")]
    async with running(house):
        for _ in range(4):
            house.link.reached()
            await house.clock.advance(3)
        assert house.calls.reports == [(["drive", "mail"], ["drive", "mail"])]
        house.calls.failing = [Unreachable("no")]
        await house.reports.show()


async def test_a_refusal_is_no_reason_to_ask_every_minute() -> None:
    house = House()
    house.calls.failing = [Refused("open access", code="42501", status=403)]
    async with running(house):
        await house.clock.advance(REFUSED_S - 1)
        assert house.calls.reports == []
        assert house.link.accepted
        await house.hello()
        assert len(house.calls.reports) == 1


async def test_another_agents_connection_is_said_once_and_tried_again() -> None:
    house = House()
    house.calls.refused = {"mail": "studio"}
    with capture_logs() as logs:
        async with running(house):
            await house.change(DOWN)
            house.calls.refused = {}
            await house.change(DRIVE)
    assert [changed for changed, _ in house.calls.reports] == [["drive", "mail"]] * 3
    assert [line["owner"] for line in logs if line["event"].startswith("connection not shown")] == ["studio"]
