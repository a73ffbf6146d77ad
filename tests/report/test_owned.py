"""Jobs that another agent owns: not run here by schedule, over restarts too, until it lets go of them."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from agent.errors import StateError
from agent.report.link import Link
from agent.report.mirror import Mirror, Told
from agent.report.owned import OwnJobs
from tests.support.clock import VirtualClock, settle
from tests.support.fake_memory import FakeNotes
from tests.support.fake_stages import FakeJobs, FakePause, a_job
from tests.support.fake_supabase import FakeSupabase


def ids(jobs) -> list[str]:
    return [job.id for job in jobs.all()]


async def test_what_the_mirror_is_refused_is_not_ours_until_its_owner_lets_go():
    clock, notes = VirtualClock(), FakeNotes()
    yaml, server, link = FakeJobs(a_job("a"), a_job("b"), a_job("c")), FakeSupabase(clock=clock), Link()
    own = OwnJobs(yaml, notes)
    await own.load()
    assert (ids(own), own.problem, own.valid) == (["a", "b", "c"], None, True)
    server.owners = {"a": "other", "c": "other"}
    told = Told(owners=own.learn)
    mirror = Mirror(yaml, server, link, FakePause(), clock, lambda *_: None, every_s=45, told=told)
    waiting = asyncio.create_task(own.wait_changed(own.revision))
    link.reached()
    loop = asyncio.create_task(mirror.run())
    with capture_logs() as logs:
        await settle()
    assert await waiting == own.revision == 2
    assert ids(own) == ["b"]
    assert (own.get("a"), own.get("b").id) == (None, "b")
    assert own.problem.startswith("job a (and 1 more) belongs to agent other")
    assert [each["event"] for each in logs].count("jobs do not run here: another agent owns them") == 1

    restarted = OwnJobs(yaml, notes)
    await restarted.load()
    assert ids(restarted) == ["b"]

    server.owners = {}
    await clock.advance(61)
    assert ids(own) == ["a", "b", "c"]
    assert (own.problem, own.revision) == (None, 3)
    loop.cancel()


async def test_a_reload_is_a_change_as_well_and_a_job_that_is_gone_no_problem():
    yaml = FakeJobs(a_job("a"))
    own = OwnJobs(yaml, FakeNotes())
    await own.learn({"a": "other"})
    waiting = asyncio.create_task(own.wait_changed(own.revision))
    await settle()
    assert not waiting.done()
    yaml.reload(a_job("b"))
    assert await waiting == own.revision
    assert (ids(own), own.problem) == (["b"], None)


async def test_a_note_that_cannot_be_kept_changes_nothing_in_this_life():
    class Full(FakeNotes):
        async def put(self, key: str, value: str) -> None:
            raise StateError("disk full")

    own = OwnJobs(FakeJobs(a_job("a")), Full())
    await own.learn({"a": "other"})
    assert ids(own) == []
