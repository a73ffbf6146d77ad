from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import psutil
import pytest

from agent.adapters.supabase.line import Line
from agent.adapters.supabase.realtime import Pace, SupervisedRealtime
from agent.adapters.supabase.target import Target
from agent.model import WakeKind, WakeUp
from tests.support.misbehaving_supabase import ANON, EMAIL, PASSWORD, Answer
from tests.support.waiting import wait_until

QUICK = Pace(
    tick_s=0.02,
    heartbeat_s=0.05,
    silence_s=5,  # more than a busy machine keeps a reply waiting
    listen_s=5,
    probe_every_s=0.1,
    probe_wait_s=0.3,
    backoff_s=0.02,
    backoff_cap_s=0.1,
    steady_s=60,
)


@pytest.fixture
def make(target, session, clock):
    def make(pace: Pace = QUICK, target: Target = target, session=session) -> SupervisedRealtime:
        return SupervisedRealtime(target, session, clock=clock, project="home-lab", agent_id="mac-mini", pace=pace)

    return make


@contextlib.asynccontextmanager
async def running(realtime: SupervisedRealtime) -> AsyncIterator[SupervisedRealtime]:
    task = asyncio.create_task(realtime.run(), name="supervisor")
    try:
        yield realtime
    finally:
        assert not task.done() or task.exception() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def healthy(realtime: SupervisedRealtime) -> AsyncIterator[SupervisedRealtime]:
    async with running(realtime):
        await wait_until(lambda: realtime.healthy)
        assert await realtime.next() == WakeUp(kind=WakeKind.RESUBSCRIBED)
        yield realtime


async def rebuilt(realtime: SupervisedRealtime) -> None:
    """The next line is up and says: look at everything."""
    assert (await asyncio.wait_for(realtime.next(), 5)).kind is WakeKind.RESUBSCRIBED
    await wait_until(lambda: realtime.healthy)


async def heartbeats(fake, more: int) -> None:
    """So many have been asked for and answered: whatever was sent before has arrived."""
    before = fake.realtime.heartbeats
    await wait_until(lambda: fake.realtime.heartbeats > before + more)


def library_tasks() -> list[str]:
    """What the realtime library has running: listeners, timers, time limits of pushes."""
    return [str(task) for task in asyncio.all_tasks() if "/realtime/_async/" in str(task.get_coro().cr_code)]


def request(**more) -> dict:
    row = {"id": str(uuid4()), "project_id": "home-lab", "job_id": "a", "status": "queued", "cancel_requested_at": None}
    return {**row, **more}


# ── hints ────────────────────────────────────────────────────────────────────


async def test_it_listens_as_the_signed_in_user_to_what_can_wake_it_and_nothing_else(make, fake, session):
    async with healthy(make()):
        join = fake.realtime.joins[0]
        assert join["access_token"] == await session.token()
        assert [(each["event"], each["table"], each["filter"]) for each in join["config"]["postgres_changes"]] == [
            ("INSERT", "cron_run_requests", "project_id=eq.home-lab"),
            ("UPDATE", "cron_run_requests", "status=eq.queued"),
            ("UPDATE", "cron_run_requests", "cancel_requested_at=gt.1970-01-01"),
            ("UPDATE", "cron_agents", "project_id=eq.home-lab"),
        ]


@pytest.mark.parametrize("kind", ["INSERT", "UPDATE"])
async def test_a_queued_request_wakes(make, fake, kind):
    async with healthy(make()) as realtime:
        row = request()
        await fake.realtime.change(kind, "cron_run_requests", row)
        wake = await asyncio.wait_for(realtime.next(), 1)
        assert wake == WakeUp(kind=WakeKind.QUEUED, request_id=UUID(row["id"]))


async def test_a_cancellation_of_ours_wakes_and_other_changes_do_not(make, fake):
    async with healthy(make()) as realtime:
        asked = {"status": "running", "cancel_requested_at": "2026-03-01T12:00:00+00:00"}
        for quiet in (
            request(status="running"),
            request(status="done"),
            request(**asked, claimed_by="another"),
            request(project_id="another"),
        ):
            await fake.realtime.change("UPDATE", "cron_run_requests", quiet)
        ours = request(**asked, claimed_by="mac-mini")
        await fake.realtime.change("UPDATE", "cron_run_requests", ours)
        wake = await asyncio.wait_for(realtime.next(), 1)
        assert wake == WakeUp(kind=WakeKind.CANCEL, request_id=UUID(ours["id"]))


@pytest.mark.parametrize("record", [{"id": "no uuid"}, {"id": 7, "status": "queued"}, {"id": None}, {}, None])
async def test_a_row_that_came_mutilated_may_be_a_queued_one(make, fake, record):
    async with healthy(make()) as realtime:
        await fake.realtime.change("INSERT", "cron_run_requests", record)
        assert await asyncio.wait_for(realtime.next(), 1) == WakeUp(kind=WakeKind.QUEUED)


async def test_a_fault_of_ours_while_reading_an_event_does_not_end_the_listener(make, fake, monkeypatch):
    realtime = make()
    monkeypatch.setattr(realtime, "_request_changed", lambda record: record["nonsense"])
    async with healthy(realtime):
        await fake.realtime.change("INSERT", "cron_run_requests", request())
        monkeypatch.undo()
        await heartbeats(fake, 3)
        assert realtime.healthy
        assert fake.realtime.connects == 1


async def test_frames_larger_than_the_librarys_megabyte_come_through(make, fake):
    async with healthy(make()) as realtime:
        await fake.realtime.change("INSERT", "cron_run_requests", request(payload="x" * 2_000_000))
        assert (await asyncio.wait_for(realtime.next(), 5)).kind is WakeKind.QUEUED
        assert fake.realtime.connects == 1


async def test_nonsense_frames_are_ignored(make, fake):
    async with healthy(make()) as realtime:
        await fake.realtime.tell("postgres_changes", {"data": None})
        await fake.realtime.tell("greeting", {})
        await fake.realtime.change("INSERT", "cron_run_requests", request())
        assert (await asyncio.wait_for(realtime.next(), 1)).kind is WakeKind.QUEUED


async def test_a_second_confirmation_says_to_look_at_everything_again(make, fake):
    async with healthy(make()) as realtime:
        await fake.realtime.system("Subscribed to PostgreSQL", "ok")
        assert (await asyncio.wait_for(realtime.next(), 1)).kind is WakeKind.RESUBSCRIBED


# ── health and rebuilding ────────────────────────────────────────────────────


async def test_a_joined_channel_is_not_healthy_before_it_listens(make, fake):
    fake.realtime.says_listening = False
    async with running(make()) as realtime:
        await wait_until(lambda: fake.realtime.joined)
        assert not realtime.healthy
        await fake.realtime.system("Something else", "ok")
        await heartbeats(fake, 3)
        assert not realtime.healthy
        await fake.realtime.system("Subscribed to PostgreSQL", "ok")
        await wait_until(lambda: realtime.healthy)
        assert realtime.reason.startswith("connected since ")


async def test_a_channel_that_never_listens_is_given_up(make, fake):
    fake.realtime.says_listening = False
    async with running(make(replace(QUICK, listen_s=0.4))) as realtime:
        await wait_until(lambda: fake.realtime.connects >= 2)
        assert "never said that it listens" in realtime.reason
        fake.realtime.says_listening = True
        await rebuilt(realtime)


async def cut(fake):
    fake.realtime.cut()


async def close_going_away(fake):
    await fake.realtime.close(1001)


async def close_restart(fake):
    await fake.realtime.close(1012)


async def phx_close(fake):
    await fake.realtime.tell("phx_close", {}, ref="1")


async def phx_error(fake):
    await fake.realtime.tell("phx_error", {}, ref=None)


async def system_error(fake):
    await fake.realtime.system("Too many messages per second", "error")


async def token_expired(fake):
    await fake.realtime.system("Token has expired 0 seconds ago", "error")
    await fake.realtime.tell("phx_close", {}, ref="1")


@pytest.mark.parametrize(
    "trouble", [cut, close_going_away, close_restart, phx_close, phx_error, system_error, token_expired]
)
async def test_whatever_ends_a_line_a_new_one_is_made(make, fake, trouble):
    async with healthy(make()) as realtime:
        await trouble(fake)
        await wait_until(lambda: fake.realtime.connects >= 2)
        await rebuilt(realtime)
        assert "{" not in realtime._why
        row = request()
        await fake.realtime.change("INSERT", "cron_run_requests", row)
        assert (await asyncio.wait_for(realtime.next(), 1)).request_id == UUID(row["id"])


async def test_a_black_hole_is_noticed_by_missing_heartbeats(make, fake, monkeypatch):
    monkeypatch.setattr("agent.adapters.supabase.line.OPEN_S", 0.3)  # the next join may fall into the hole as well
    async with healthy(make(replace(QUICK, silence_s=0.4))) as realtime:
        fake.realtime.deaf = True
        await wait_until(lambda: not realtime.healthy)
        assert "heartbeats" in realtime.reason
        fake.realtime.deaf = False
        await rebuilt(realtime)


async def test_a_server_that_does_not_answer_the_join_is_given_up(make, fake, monkeypatch):
    monkeypatch.setattr("agent.adapters.supabase.line.OPEN_S", 0.3)
    fake.realtime.deaf = True
    async with running(make()) as realtime:
        await wait_until(lambda: "did not answer" in realtime.reason)
        fake.realtime.deaf = False
        await rebuilt(realtime)


@pytest.mark.parametrize(("status", "why"), [(401, "supabase.key"), (403, "supabase.key"), (500, "HTTP 500")])
async def test_a_refused_connection_is_tried_again_for_ever_and_says_why(make, fake, status, why):
    fake.realtime.refuse = (status, {})
    async with running(make()) as realtime:
        await wait_until(lambda: fake.realtime.connects >= 8)
        assert why in realtime.reason
        fake.realtime.refuse = None
        await rebuilt(realtime)


async def test_a_rate_limit_is_honoured(make, fake):
    fake.realtime.refuse = (429, {"retry-after": "1"})
    loop = asyncio.get_running_loop()
    async with running(make()):
        await wait_until(lambda: fake.realtime.connects == 1)
        began = loop.time()
        await wait_until(lambda: fake.realtime.connects >= 2)
        assert loop.time() - began >= 1


async def test_a_closed_port_is_tried_again(make, fake, target):
    closed = Target(
        url=target.url, key=ANON, email=EMAIL, password=PASSWORD, realtime_url="ws://127.0.0.1:9/realtime/v1"
    )
    async with running(make(target=closed)) as realtime:
        await wait_until(lambda: "cannot be reached" in realtime.reason)


async def test_a_join_refused_for_its_token_brings_a_new_token(make, fake, session):
    fake.realtime.join_error = "InvalidJWTToken: Token has expired 5 seconds ago"
    stale = await session.token()
    async with running(make()) as realtime:
        await wait_until(lambda: fake.grants("refresh_token"))
        fake.realtime.join_error = None
        await rebuilt(realtime)
        assert fake.realtime.joins[-1]["access_token"] != stale


async def test_an_unpublished_table_is_named_by_the_servers_own_words(make, fake):
    fake.realtime.system_error = "Unable to subscribe to changes with given parameters"
    async with running(make()) as realtime:
        await wait_until(lambda: realtime.reason == f"polling: {fake.realtime.system_error}")


async def test_after_sleep_the_line_is_rebuilt_at_once_and_without_a_word_to_the_old_one(make, fake):
    async with healthy(make(replace(QUICK, backoff_s=60, backoff_cap_s=60))) as realtime:
        realtime.rebuild("the machine slept")
        await rebuilt(realtime)
        assert fake.realtime.connects == 2
        assert realtime.reason.startswith("connected")


async def test_sleep_in_the_middle_of_a_join_begins_it_anew(make, fake):
    fake.realtime.deaf = True
    async with running(make()) as realtime:
        await wait_until(lambda: fake.realtime.connects)
        fake.realtime.deaf = False
        realtime.rebuild("the machine slept")
        await rebuilt(realtime)


async def test_nobody_sits_out_a_backoff_once_the_server_is_known_to_answer(make, fake):
    fake.realtime.refuse = (503, {})
    async with running(make(replace(QUICK, backoff_s=60, backoff_cap_s=60))) as realtime:
        await wait_until(lambda: "503" in realtime.reason)
        fake.realtime.refuse = None
        realtime.hurry()
        await rebuilt(realtime)


async def test_a_listener_that_died_without_a_word_is_noticed(make, fake):
    async with healthy(make()) as realtime:
        (listener,) = [task for task in asyncio.all_tasks() if task.get_name() == "realtime listener"]
        listener.cancel()
        await wait_until(lambda: fake.realtime.connects >= 2)
        await rebuilt(realtime)


async def test_a_new_token_is_handed_over_on_the_open_line(make, fake, session):
    async with healthy(make()):
        new = await session.renew(await session.token())
        await wait_until(lambda: fake.realtime.tokens == [new])
        assert fake.realtime.connects == 1


async def test_while_nobody_is_signed_in_it_says_so(make, make_session, target, fake):
    bare = Target(url=target.url, key=ANON, realtime_url=fake.realtime.url)
    async with running(make(target=bare, session=make_session(bare))) as realtime:
        await wait_until(lambda: "not signed in" in realtime.reason)
        assert fake.realtime.connects == 0


async def test_while_the_sign_in_waits_it_says_so(make, fake):
    fake.next_answer("token", Answer(status=503, body={"msg": "maintenance"}), times=100)
    async with running(make()) as realtime:
        await wait_until(lambda: "maintenance" in realtime.reason)
        assert not realtime.healthy


async def test_a_token_that_cannot_be_renewed_is_the_reason(make, fake, make_session, target):
    secret = Target(url=target.url, key="sb_secret_x", realtime_url=fake.realtime.url)
    fake.realtime.join_error = "JwtSignatureError: Failed to validate JWT signature"
    async with running(make(target=secret, session=make_session(secret))) as realtime:
        await wait_until(lambda: "configured key" in realtime.reason)


# ── the probe ────────────────────────────────────────────────────────────────


async def beat_with_probe(realtime, fake, clock, *, comes_back: bool) -> None:
    await wait_until(realtime.want_probe)
    if comes_back:
        mine = {"project_id": "home-lab", "agent_id": "mac-mini", "probe_at": "2026-03-01T12:00:00+00:00"}
        await fake.realtime.change("UPDATE", "cron_agents", {**mine, "agent_id": "another"})
        await fake.realtime.change("UPDATE", "cron_agents", mine)
    realtime.probe_sent(clock.now())


async def test_a_probe_that_comes_back_proves_the_line(make, fake, clock):
    async with healthy(make()) as realtime:
        await beat_with_probe(realtime, fake, clock, comes_back=True)
        assert not realtime.want_probe()
        await beat_with_probe(realtime, fake, clock, comes_back=True)
        await heartbeats(fake, 10)
        assert realtime.healthy
        assert fake.realtime.connects == 1


async def test_who_asks_something_of_our_connections_wakes_us(make, fake):
    heard = []
    async with healthy(make()) as realtime:
        realtime.on_reconnect(lambda: heard.append(1))
        mine = {"project_id": "home-lab", "agent_id": "mac-mini"}
        for reconnects in (1, 1, 2):
            await fake.realtime.change("UPDATE", "cron_agents", {**mine, "reconnects": reconnects})
        await fake.realtime.change("UPDATE", "cron_agents", {**mine, "agent_id": "studio", "reconnects": 3})
        await wait_until(lambda: len(heard) == 2)


async def test_a_line_that_stays_silent_about_our_own_change_is_not_trusted_until_one_comes_back(make, fake, clock):
    async with healthy(make()) as realtime:
        await beat_with_probe(realtime, fake, clock, comes_back=False)
        await wait_until(lambda: fake.realtime.connects >= 2)
        await realtime.next()
        assert not realtime.healthy
        await wait_until(lambda: "probe did not come back" in realtime.reason)
        await beat_with_probe(realtime, fake, clock, comes_back=True)
        await wait_until(lambda: realtime.healthy)


async def test_a_beat_that_failed_leaves_the_probe_due(make, fake):
    async with healthy(make()) as realtime:
        assert realtime.want_probe()
        assert realtime.want_probe()


async def test_no_probe_is_wanted_where_nothing_listens(make):
    assert not make().want_probe()


# ── nothing is left behind ───────────────────────────────────────────────────


async def test_a_line_whose_other_end_reads_no_more_breaks_and_can_be_closed(fake, monkeypatch):
    monkeypatch.setattr("agent.adapters.supabase.line.OPEN_S", 0.5)
    monkeypatch.setattr("agent.adapters.supabase.line.CLOSE_S", 0.2)
    line = Line(fake.realtime.url, ANON, "t", [], lambda: None)
    await line.open("token")
    (server_side,) = fake.realtime.sockets
    server_side.transport.pause_reading()
    await line.give_token(secrets.token_urlsafe(16_000_000))  # compression makes it no smaller
    assert "broke" in line.down
    await asyncio.wait_for(line.close(), 2)
    assert library_tasks() == []
    assert line._client.socket.transport.get_write_buffer_size() == 0
    server_side.transport.abort()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_thirty_rebuilds_leak_neither_tasks_nor_sockets(make, fake):
    async with healthy(make()) as realtime:
        process, troubles = psutil.Process(), [cut, phx_close, system_error, close_restart, phx_error]
        await wait_until(lambda: len(fake.realtime.sockets) == 1)
        tasks, files = len(asyncio.all_tasks()), process.num_fds()
        for turn in range(30):
            await troubles[turn % len(troubles)](fake)
            await rebuilt(realtime)
            await wait_until(lambda: len(library_tasks()) == 1)
        await wait_until(lambda: len(fake.realtime.sockets) == 1)
        await wait_until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert process.num_fds() <= files


async def test_ending_the_supervisor_ends_everything_it_started(make, fake, session):
    await session.token()
    before = asyncio.all_tasks()
    async with healthy(make()):
        await wait_until(lambda: len(library_tasks()) == 1)
    assert library_tasks() == []
    await wait_until(lambda: not fake.realtime.sockets)
    await wait_until(lambda: asyncio.all_tasks() <= before)


async def test_ending_the_supervisor_in_the_middle_of_a_join_leaves_nothing_either(make, fake):
    fake.realtime.deaf = True
    async with running(make()):
        await wait_until(lambda: len(library_tasks()) == 2)
    assert library_tasks() == []


async def test_the_libraries_do_not_log_what_we_say_ourselves(make, fake, caplog):
    caplog.set_level(logging.DEBUG)
    async with healthy(make()) as realtime:
        fake.realtime.cut()
        await rebuilt(realtime)
    assert [each for each in caplog.records if each.name.startswith(("realtime", "websockets.client", "httpx."))] == []
