"""The mirror: what changed, all of it, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from structlog.testing import capture_logs

from agent.errors import Refused, Superseded, Unreachable
from agent.model import HelloReply, Placement, Retry, Schedule, ScheduleKind
from agent.report.link import Link
from agent.report.mirror import Mirror, Told
from agent.report.rows import CHUNK_BYTES, CHUNK_ROWS, chunks, row_of
from tests.support.clock import VirtualClock, settle
from tests.support.fake_stages import FakeJobs, FakePause, a_job
from tests.support.fake_supabase import FakeSupabase

HOURLY = Schedule(kind=ScheduleKind.CRON, expr="0 * * * *", timezone="Europe/Berlin")


def next_hour(job, after):
    return (after + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0) if job.schedule else None


class House:
    def __init__(self, *jobs) -> None:
        self.clock = VirtualClock()
        self.server = FakeSupabase(clock=self.clock)
        self.jobs = FakeJobs(*jobs)
        self.link = Link()
        self.pause = FakePause()
        self.mirror = Mirror(self.jobs, self.server, self.link, self.pause, self.clock, next_hour, every_s=45)
        self.link.reached()

    def changed(self) -> list[list[str]]:
        return [[row.job_id for row in sync.changed] for sync in self.server.said("sync")]

    def hello(self) -> None:
        self.server.mirror_rev = 0
        self.mirror.on_hello(HelloReply(epoch=2, role="agent", schema_version=1, server_time=self.clock.now()))


@asynccontextmanager
async def running(house: House):
    async def beats():
        while True:
            await house.clock.sleep(1)
            house.link.reached()

    tasks = [asyncio.ensure_future(house.mirror.run()), asyncio.ensure_future(beats())]
    await settle()
    yield house
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_jobs_are_mirrored_right_after_hello() -> None:
    async with running(House(a_job("a", schedule=HOURLY), a_job("b"))) as house:
        (sync,) = house.server.said("sync")
        assert sync.rev == 1
        assert sync.job_ids == ("a", "b")
        assert house.server.mirror["a"].next_run_at == house.clock.now().replace(hour=13)
        assert house.server.mirror["b"].schedule_kind is None


async def test_whoever_waits_for_jobs_hears_when_new_ones_are_there() -> None:
    house = House(a_job("a"))
    added: list[int] = []
    house.mirror._told = Told(added=lambda: added.append(len(house.server.mirror)))
    async with running(house):
        assert added == [1]
        house.jobs.reload(a_job("a", description="changed"))
        await house.clock.advance(1)
        assert added == [1]
        house.jobs.reload(a_job("a"), a_job("b"))
        await house.clock.advance(1)
        assert added == [1, 2]


async def test_no_backoff_is_sat_out_when_the_server_answers_again() -> None:
    house = House(a_job("a"))
    house.server.fail("sync", Unreachable("timeout"), times=6)
    async with running(house):
        await house.clock.advance(31.2)  # five pauses take 31 s at most, and six 31.5 s at least
        assert not house.server.mirror
        house.link.recovered()
        await settle()
        assert house.server.mirror


async def test_a_row_says_what_a_page_needs() -> None:
    job = a_job(
        "a",
        schedule=HOURLY,
        instructions="restic backup",
        tags=("x",),
        payload_schema={"type": "object"},
        retry=Retry(max_attempts=3, on=frozenset({"timeout", "exit_code"}), exit_codes=frozenset({111, 75})),
        placement=Placement.ANY,
    )
    row = row_of(job, None)
    assert (row.schedule_kind, row.schedule_expr, row.tz) == ("cron", "0 * * * *", "Europe/Berlin")
    assert row.retry == {
        "max_attempts": 3,
        "on": ["exit_code", "timeout"],
        "exit_codes": [75, 111],
        "base_s": 30.0,
        "cap_s": 3600.0,
    }
    assert row.placement == "any"
    assert (row.accepts, row.overlap, row.timeout_s, row.tags) == ({"type": "object"}, "skip", 600.0, ("x",))


async def test_later_syncs_come_every_half_to_whole_minute_with_what_changed_alone() -> None:
    async with running(House(a_job("a", schedule=HOURLY), a_job("b"))) as house:
        await house.clock.advance(29)
        assert house.changed() == [["a", "b"]]
        await house.clock.advance(32)
        assert house.changed() == [["a", "b"], []]
        await house.clock.advance(3600)
        assert 60 < len(house.changed()) < 122
        assert [rows for rows in house.changed() if rows] == [["a", "b"], ["a"]]
        assert [sync.rev for sync in house.server.said("sync")] == list(range(1, len(house.changed()) + 1))


async def test_a_reload_is_mirrored_at_once_and_removed_jobs_go() -> None:
    async with running(House(a_job("a"), a_job("b"))) as house:
        house.jobs.reload(a_job("b", enabled=False), a_job("c"))
        house.jobs.reload(a_job("b", enabled=False), a_job("d"))
        await house.clock.advance(0.3)
        assert set(house.server.mirror) == {"b", "d"}
        assert house.changed() == [["a", "b"], ["b", "d"]]


async def test_an_editor_that_saves_twice_in_a_moment_is_one_sync() -> None:
    async with running(House(a_job("a"))) as house:
        house.jobs.reload(a_job("b"))
        await house.clock.advance(0.1)
        house.jobs.reload(a_job("c"))
        await house.clock.advance(0.2)
        assert house.changed() == [["a"], ["c"]]


async def test_a_kick_syncs_at_once() -> None:
    async with running(House(a_job("a"))) as house:
        house.mirror.kick()
        await house.clock.advance(0.3)
        assert len(house.changed()) == 2


async def test_disabled_and_paused_jobs_have_no_next_run() -> None:
    house = House(a_job("a", schedule=HOURLY), a_job("b", schedule=HOURLY, enabled=False))
    async with running(house):
        assert house.server.mirror["a"].next_run_at is not None
        assert house.server.mirror["b"].next_run_at is None
        house.pause.what = {"schedule"}
        await house.clock.advance(61)
        assert house.server.mirror["a"].next_run_at is None


async def test_without_a_valid_config_nothing_is_removed() -> None:
    house = House(a_job("a"), a_job("b"))
    async with running(house):
        house.jobs.valid = False
        house.jobs.reload(a_job("a"))
        await house.clock.advance(0.3)
        assert set(house.server.mirror) == {"a", "b"}
        house.jobs.valid = True
        await house.clock.advance(61)
        assert set(house.server.mirror) == {"a"}


async def test_after_another_hello_everything_is_sent_again_from_rev_one() -> None:
    async with running(House(a_job("a"), a_job("b"))) as house:
        house.server.mirror.clear()
        house.hello()
        await house.clock.advance(0.3)
        assert set(house.server.mirror) == {"a", "b"}
        assert house.server.said("sync")[-1].rev == 1


async def test_an_unanswered_sync_is_sent_again_with_a_higher_rev() -> None:
    house = House(a_job("a"))
    house.server.lose_answer("sync")
    async with running(house):
        assert not house.link.accepted
        await house.clock.advance(3)
        assert [(sync.rev, len(sync.changed)) for sync in house.server.said("sync")] == [(1, 1), (2, 1)]


async def test_a_change_taken_back_while_its_answer_was_lost_is_sent_again() -> None:
    async with running(House(a_job("a"))) as house:
        house.server.lose_answer("sync")
        house.jobs.reload(a_job("a", enabled=False))
        await house.clock.advance(0.3)
        assert not house.server.mirror["a"].enabled
        house.jobs.reload(a_job("a"))
        await house.clock.advance(5)
        assert house.server.mirror["a"].enabled


async def test_a_job_removed_and_brought_back_while_the_answer_was_lost_is_there_again() -> None:
    async with running(House(a_job("a"), a_job("b"))) as house:
        house.server.lose_answer("sync")
        house.jobs.reload(a_job("b"))
        await house.clock.advance(0.3)
        assert set(house.server.mirror) == {"b"}
        house.jobs.reload(a_job("a"), a_job("b"))
        await house.clock.advance(5)
        assert set(house.server.mirror) == {"a", "b"}


async def test_an_outage_is_waited_out() -> None:
    house = House(a_job("a"))
    house.server.fail("sync", Unreachable("503"), times=4)
    async with running(house):
        await house.clock.advance(60)
        assert set(house.server.mirror) == {"a"}


async def test_a_refusal_of_the_caller_is_tried_again_and_is_no_gap() -> None:
    house = House(a_job("a"))
    house.server.fail("sync", Refused("42501", status=403))
    async with running(house):
        assert house.link.accepted
        await house.clock.advance(3)
        assert set(house.server.mirror) == {"a"}


async def test_a_refusal_of_something_before_the_database_hides_no_job() -> None:
    house = House(a_job("a"))
    house.server.fail("sync", Refused("no Route matched with those values", status=404), times=3)
    async with running(house):
        await house.clock.advance(60)
        assert set(house.server.mirror) == {"a"}


async def test_a_superseded_mirror_leaves_it_to_the_heartbeat() -> None:
    house = House(a_job("a"))
    house.server.fail("sync", Superseded("older epoch"))
    async with running(house):
        assert not house.link.accepted


async def test_a_job_of_another_agent_is_said_once_and_tried_until_it_is_free() -> None:
    house = House(a_job("a"), a_job("b"))
    house.server.owners["b"] = "other-box"
    with capture_logs() as logs:
        async with running(house):
            await house.clock.advance(200)
            assert set(house.server.mirror) == {"a"}
            del house.server.owners["b"]
            await house.clock.advance(61)
            assert set(house.server.mirror) == {"a", "b"}
    assert [(line["job"], line["owner"]) for line in logs if line["log_level"] == "warning"] == [("b", "other-box")]


class Picky(FakeSupabase):
    """Cannot take the row of one job while it has this name."""

    async def sync(self, sync):
        if any(row.name == "poison" for row in sync.changed):
            self.calls.append(("refused", sync))
            raise Refused("22P05: no", code="22P05", status=400)
        return await super().sync(sync)


async def test_a_row_the_server_cannot_take_does_not_hide_the_others() -> None:
    bad = replace(a_job("c"), name="poison")
    house = House(a_job("a"), a_job("b"), bad)
    house.server = house.mirror._call = Picky(clock=house.clock)
    house.server.mirror["gone"] = row_of(a_job("gone"), None)
    with capture_logs() as logs:
        async with running(house):
            assert set(house.server.mirror) == {"a", "b"}
            assert [sync.job_ids is None for sync in house.server.said("sync")] == [True, True, False]
            refused = house.server.count("refused")
            await house.clock.advance(200)
            assert house.server.count("refused") == refused
            house.jobs.reload(a_job("a"), a_job("b"), a_job("c"))
            await house.clock.advance(1)
            assert set(house.server.mirror) == {"a", "b", "c"}
    assert [line["job"] for line in logs if line["log_level"] == "error"] == ["c"]


async def test_ten_thousand_jobs_go_in_chunks_and_only_the_last_one_removes() -> None:
    house = House(*(a_job(f"job-{number:05}") for number in range(10_000)))
    async with running(house):
        syncs = house.server.said("sync")
        assert len(house.server.mirror) == 10_000
        assert max(len(sync.changed) for sync in syncs) <= CHUNK_ROWS
        assert [sync.job_ids is None for sync in syncs] == [True] * (len(syncs) - 1) + [False]


def test_chunks_are_bounded_in_bytes_and_there_is_at_least_one() -> None:
    rows = [row_of(a_job(str(n), description="x" * 100_000), None) for n in range(5)]
    assert [len(part) for part in chunks(rows)] == [2, 2, 1]
    assert list(chunks([])) == [()]
    huge = row_of(a_job("huge", description="x" * CHUNK_BYTES), None)
    assert [len(part) for part in chunks([huge, huge])] == [1, 1]
