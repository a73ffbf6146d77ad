"""The same clients against the embedded stack: real Postgres, real policies, real Realtime frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from agent.errors import HelloRefused, NeedsSignIn, Refused, SchemaMissing, Superseded
from agent.model import AgentState, LogPiece, OutboxEntry, Report, RunningRun, RunStatus, Trigger, VerdictKind, WakeKind
from tests.support.parties import Side, greeted, hello, running, side, wake_of
from tests.support.stack import Person
from tests.support.waiting import wait_until


@pytest.fixture
async def agent(project) -> AsyncIterator[Side]:
    async with side(project, project.agent) as party:
        yield party


@pytest.fixture
async def operator(project) -> AsyncIterator[Side]:
    async with side(project, project.operator) as party:
        yield party


def finish(request_id: UUID, claims: int) -> OutboxEntry:
    now = datetime.now(UTC)
    report = Report(
        run_id=uuid4(),
        job_id="a",
        trigger=Trigger.REQUEST,
        status=RunStatus.OK,
        request_id=request_id,
        claims=claims,
        started_at=now,
        finished_at=now,
        duration_ms=1,
        exit_code=0,
        output="out",
        result={"ok": True},
    )
    return OutboxEntry(seq=1, report=report)


# ── live output ──────────────────────────────────────────────────────────────


async def test_pieces_are_appended_once_and_read_page_by_page(agent, operator, project):
    rest = await greeted(agent)
    run_id, unreported, now = uuid4(), uuid4(), datetime.now(UTC)
    start = Report(run_id=run_id, job_id="a", trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, started_at=now)
    await rest.report([OutboxEntry(seq=1, report=start)])

    def pieces(run: UUID, *numbers: int) -> list[LogPiece]:
        return [LogPiece(run_id=run, seq=seq, at=now, stream="stderr", text=f"{seq}\n") for seq in numbers]

    assert await rest.append_logs([*pieces(run_id, *range(600)), *pieces(unreported, 0)]) == {unreported}
    assert await rest.append_logs(pieces(run_id, *range(599, 1200))) == frozenset()
    read = await operator.people.log_pieces(run_id, after=-1)
    assert [piece["seq"] for piece in read] == list(range(1200))
    assert [piece["text"] for piece in await operator.people.log_pieces(run_id, after=1198)] == ["1199\n"]
    newest = await operator.people.newest_run("a")
    assert newest is not None
    assert newest["id"] == str(run_id)
    assert await operator.people.newest_run("b") is None


# ── RPCs ─────────────────────────────────────────────────────────────────────


async def test_a_request_is_asked_for_claimed_reported_and_done(agent, operator):
    rest = await greeted(agent)
    asked = await operator.people.request_run("a", {"width": 1})
    news = await rest.beat([], AgentState(jobs=1), ["a"])
    assert news.due == 1
    claimed = await rest.claim(1, ["a"], 4, 60)
    request = claimed.requests[0]
    assert (str(request.id), request.payload, request.attempts) == (asked["id"], {"width": 1}, 1)
    assert request.requested_by == operator.session.email
    assert (await rest.claim(1, ["a"], 4, 60)).requests == claimed.requests
    entry = finish(request.id, request.claims)
    assert (await rest.report([entry]))[1].kind is VerdictKind.ACCEPTED
    assert (await rest.report([entry]))[1].kind is VerdictKind.DUPLICATE
    row = await operator.people.get_request(request.id)
    assert row["status"] == "done"
    assert row["result"]["ok"] is True
    assert [run["status"] for run in await operator.people.job_runs()] == ["ok"]
    assert [job["jobid"] for job in await operator.people.jobs()] == ["a"]


async def test_a_row_inserted_by_a_page_is_claimed_and_its_cancellation_is_told(agent, operator):
    rest = await greeted(agent)
    row = await operator.people.insert_request("a", requested_by="ui")
    request = (await rest.claim(1, ["a"], 4, 60)).requests[0]
    assert str(request.id) == row["id"]
    await operator.people.cancel(request.id)
    run = RunningRun(run_id=uuid4(), job_id="a", request_id=request.id, claims=request.claims)
    assert (await rest.beat([run], AgentState(running=1), ["a"])).cancelled == (request.id,)


async def test_a_second_machine_is_refused_until_it_takes_over_and_then_the_first_is_superseded(agent):
    first, second = agent.rest, agent.rest
    await first.hello(hello())
    await first.beat([], AgentState(), [])
    with pytest.raises(HelloRefused) as caught:
        await second.hello(hello())
    assert caught.value.hostname == "attic"
    await second.hello(hello(takeover=True))
    with pytest.raises(Superseded):
        await first.beat([], AgentState(), [])


async def test_people_and_strangers_are_refused_with_what_to_do(agent, operator, project):
    with pytest.raises(Refused) as caught:
        await operator.rest.hello(hello())
    assert operator.session.email in caught.value.hint
    with pytest.raises(Refused):
        await agent.people.request_run("a")
    async with side(project, project.outsider) as outsider:
        with pytest.raises(Refused, match="not a member") as caught:
            await outsider.people.request_run("a")
        assert "Ask an admin" in caught.value.hint


async def test_both_forms_of_the_key_work_and_a_wrong_one_is_named(project):
    async with side(project, project.operator, key=project.keys.anon_key) as legacy:
        assert await legacy.people.jobs() == []
    async with side(project, project.operator, key="sb_publishable_of_another_project") as wrong:
        with pytest.raises(NeedsSignIn, match="API key"):
            await wrong.people.jobs()


async def test_a_wrong_password_is_named(project):
    wrong = Person(email=project.operator.email, password="wrong", user_id=project.operator.user_id)
    async with side(project, wrong) as party:
        with pytest.raises(NeedsSignIn, match=wrong.email):
            await party.people.jobs()


async def test_a_missing_function_is_a_missing_schema(operator):
    with pytest.raises(SchemaMissing):
        await operator.database.rpc("cron_of_the_future", {})


async def test_sessions_rotate_against_real_auth(agent):
    token = await agent.session.token()
    refresh_tokens = set()
    for _ in range(3):
        refresh_tokens.add(agent.session._tokens.refresh)
        token = await agent.session.renew(token)  # the same token within the same second: it names no other moment
    assert len(refresh_tokens) == 3
    await agent.rest.hello(hello())
    await agent.session.sign_out()


# ── Realtime ─────────────────────────────────────────────────────────────────


async def test_a_request_and_its_cancellation_wake_the_agent_within_a_second(agent, operator):
    rest, realtime = await greeted(agent), agent.realtime()
    async with running(realtime.run()):
        await wait_until(lambda: realtime.healthy)
        row = await operator.people.insert_request("a")
        wake = await asyncio.wait_for(wake_of(realtime, WakeKind.QUEUED), 1)
        assert str(wake.request_id) == row["id"]
        request = (await rest.claim(1, ["a"], 1, 60)).requests[0]
        await operator.people.cancel(request.id)
        assert (await asyncio.wait_for(wake_of(realtime, WakeKind.CANCEL), 1)).request_id == request.id


async def test_a_beats_probe_comes_back(agent):
    rest, realtime = await greeted(agent), agent.realtime()
    async with running(realtime.run()):
        await wait_until(lambda: realtime.healthy)
        for _ in range(3):
            await wait_until(realtime.want_probe)
            reply = await rest.beat([], AgentState(probe=True), ["a"])
            realtime.probe_sent(reply.server_time)
            await wait_until(lambda: realtime._probe._deadline is None)
            assert realtime.healthy


async def test_another_projects_requests_wake_nobody(agent, project, operator):
    await greeted(agent)
    realtime = agent.realtime()
    async with running(realtime.run()):
        await wait_until(lambda: realtime.healthy)
        project.sql("insert into cron_run_requests (project_id, job_id) values (%s, 'a')", project.other_project_id)
        row = await operator.people.insert_request("a")
        wake = await asyncio.wait_for(wake_of(realtime, WakeKind.QUEUED), 2)
        assert str(wake.request_id) == row["id"]
