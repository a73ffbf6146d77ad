from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from agent.adapters.supabase.grants import Tokens
from agent.adapters.supabase.target import Target
from agent.errors import NeedsSignIn, StateError, Unreachable
from tests.support.clock import VirtualClock
from tests.support.misbehaving_supabase import ANON, EMAIL, PASSWORD, Answer, WallClock, jwt
from tests.support.waiting import wait_until


class ImpatientClock(WallClock):
    """Real sockets, but nobody waits for a backoff: sleeps are recorded and pass on the wall alone."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pushed_s += seconds
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def refuse(code: str, status: int = 400) -> Answer:
    return Answer(status=status, body={"code": status, "error_code": code, "msg": f"said {code}"})


# ── getting a token ──────────────────────────────────────────────────────────


async def test_the_first_token_comes_by_password_and_is_stored(session, fake, store):
    token = await session.token()
    assert token in fake.valid_tokens
    assert json.loads(store.data)["access_token"] == token
    assert await session.token() == token
    assert len(fake.calls) == 1


async def test_a_stored_session_is_used_without_asking(session, make_session, target, fake):
    token = await session.token()
    assert await make_session(target).token() == token
    assert len(fake.calls) == 1


@pytest.mark.parametrize("other", [{"email": "else@example.com"}, {"url": "http://127.0.0.1:9"}])
async def test_a_session_of_another_user_or_project_is_ignored(session, make_session, target, fake, store, other):
    await session.token()
    store.data = json.dumps({**json.loads(store.data), **other}).encode()
    await make_session(target).token()
    assert len(fake.grants("password")) == 2


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"url": 1}'])
async def test_a_damaged_session_file_is_no_session(session, fake, store, data):
    store.data = data
    assert await session.token() in fake.valid_tokens


async def test_a_stored_session_with_a_naive_or_empty_field_is_no_session(session, make_session, target, fake, store):
    await session.token()
    good = json.loads(store.data)
    for bad in ({"expires_at": "2099-01-01T00:00:00"}, {"refresh_token": ""}):
        store.data = json.dumps({**good, **bad}).encode()
        await make_session(target).token()
    assert len(fake.grants("password")) == 3


async def test_a_store_that_cannot_be_read_or_written_does_not_stop_the_session(make_session, target, fake):
    class Broken:
        def load(self):
            raise StateError("no such disk")

        def save(self, data):
            raise StateError("disk full")

    assert await make_session(target, store=Broken()).token() in fake.valid_tokens


async def test_an_expired_token_is_refreshed_once_for_all_who_wait(session, fake, clock):
    first = await session.token()
    clock.pushed_s = 3601
    tokens = await asyncio.gather(*(session.token() for _ in range(10)))
    assert len(set(tokens)) == 1
    assert tokens[0] != first
    assert len(fake.grants("refresh_token")) == 1


async def test_a_caller_who_gives_up_does_not_tear_a_rotation_in_two(session, fake, clock, store):
    await session.token()
    clock.pushed_s = 3601
    fake.next_answer("token", Answer(status=200, body=fake.grant(), delay_s=0.2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.token(), 0.05)
    await wait_until(lambda: store.saves == 2)
    assert len(fake.grants("refresh_token")) == 1


async def test_only_the_token_that_was_refused_is_renewed(session, fake):
    stale = await session.token()
    first, second = await asyncio.gather(session.renew(stale), session.renew(stale))
    assert first == second != stale
    assert await session.renew(stale) == first
    assert len(fake.grants("refresh_token")) == 1


async def test_the_same_token_granted_again_is_handed_out_and_not_asked_for_in_a_loop(session, fake):
    stale = await session.token()
    fake.next_answer("token", Answer(body={**fake.grant(), "access_token": stale}))
    assert await session.renew(stale) == stale
    assert await session.token() == stale
    assert len(fake.grants("refresh_token")) == 1


async def test_listeners_hear_every_new_token_and_one_that_fails_stops_nobody(session):
    heard: list[str] = []

    def fails(token: str) -> None:
        raise RuntimeError(token)

    session.on_change(fails)
    session.on_change(heard.append)
    first = await session.token()
    second = await session.renew(first)
    assert heard == [first, second]


@pytest.mark.parametrize(("access", "hours"), [(jwt(iat=1000, exp=1000 + 7200), 2), ("opaque", 1)])
async def test_where_auth_does_not_say_how_long_a_session_lives_the_token_does(
    session, fake, store, clock, access, hours
):
    said = {key: value for key, value in fake.grant().items() if key not in ("expires_in", "user")}
    fake.next_answer("token", Answer(body={**said, "access_token": access}))
    await session.token()
    stored = json.loads(store.data)
    assert stored["lifetime_s"] == hours * 3600
    assert stored["email"] == EMAIL


# ── trouble on the way ───────────────────────────────────────────────────────


async def test_each_trouble_of_the_sign_in_is_said_once_and_another_one_again(make_session, target, fake):
    clock = ImpatientClock()
    session = make_session(target, clock=clock)
    with capture_logs() as logs:
        fake.next_answer("token", Answer(status=500, body={"msg": "oops"}), times=3)
        fake.next_answer("token", Answer(status=200, html="<h1>Welcome to the hotel</h1>"), times=3)
        await session.token()
    said = [line["why"] for line in logs if line["event"] == "sign-in must wait" and line["log_level"] == "warning"]
    assert len(said) == 2
    assert "oops" in said[0]
    assert "never does" in said[1]


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(status=500, body={"msg": "oops"}),
        Answer(status=503, html="<h1>maintenance</h1>"),
        Answer(status=429, body={"error_code": "over_request_rate_limit", "msg": "slow down"}),
        Answer(status=409, body={"error_code": "conflict", "msg": "conflict"}),
        Answer(status=200, html="<h1>Welcome to the hotel</h1>"),
        Answer(status=302, headers={"location": "http://hotel/"}),
        Answer(status=404, body={"message": "no Route matched with those values"}),
        Answer(status=540, body={"message": "paused"}),
        Answer(drop=True),
    ],
)
async def test_temporary_trouble_is_waited_out_and_the_session_is_kept(make_session, target, fake, store, trouble):
    clock = ImpatientClock()
    session = make_session(target, clock=clock)
    await session.token()
    kept = store.data
    clock.pushed_s = 3601
    fake.next_answer("token", trouble, times=10_000)
    waiting = asyncio.create_task(session.token())
    await wait_until(lambda: len(clock.slept) >= 12)
    assert store.data == kept
    assert session.problem is not None
    fake.answers.clear()
    await waiting
    assert session.problem is None
    assert len(fake.grants("password")) == 1
    assert max(clock.slept) <= 30
    assert min(clock.slept) >= 0.5


async def test_retry_after_is_honoured(make_session, target, fake):
    clock = ImpatientClock()
    fake.next_answer("token", Answer(status=429, body={"msg": "slow"}, headers={"retry-after": "120"}))
    await make_session(target, clock=clock).token()
    assert 120 <= clock.slept[0] < 122


async def test_an_offline_boot_keeps_an_expired_session(make_session, target, fake, store, clock):
    await make_session(target).token()
    clock.pushed_s = 7200
    fake.next_answer("token", Answer(drop=True), times=2)
    impatient = ImpatientClock()
    impatient.pushed_s = 7200
    assert await make_session(target, clock=impatient).token() in fake.valid_tokens
    assert len(fake.grants("password")) == 1
    assert len(fake.grants("refresh_token")) == 3


async def test_a_name_that_does_not_resolve_says_so(make_session, monkeypatch):
    def fails(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    session = make_session(Target(url="https://nowhere.invalid", key=ANON, email=EMAIL, password=PASSWORD))
    with pytest.raises(Unreachable, match="could not be resolved") as caught:
        await session.sign_in(EMAIL, PASSWORD)
    assert "supabase.url" in caught.value.hint


async def test_a_server_that_is_not_supabase_is_named(session, fake):
    fake.next_answer("token", Answer(status=404, html="<h1>nginx</h1>"))
    with pytest.raises(Unreachable, match="without JSON") as caught:
        await session.sign_in(EMAIL, PASSWORD)
    assert "supabase.url" in caught.value.hint


# ── verdicts ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "verdict",
    [
        refuse("refresh_token_not_found"),
        refuse("refresh_token_already_used"),
        refuse("session_not_found", 403),
        Answer(status=400, body={"error": "invalid_grant", "error_description": "Invalid Refresh Token"}),
    ],
)
async def test_a_dead_refresh_token_is_replaced_by_the_password(session, fake, clock, verdict):
    await session.token()
    clock.pushed_s = 3601
    fake.next_answer("token", verdict)
    assert await session.token() in fake.valid_tokens
    assert len(fake.grants("password")) == 2


async def test_signing_in_again_happens_at_most_once_a_minute(make_session, target, fake):
    clock = ImpatientClock()
    session = make_session(target, clock=clock)
    first = await session.token()
    fake.next_answer("token", refuse("refresh_token_not_found"))
    await session.renew(first)
    assert 50 < clock.slept[0] <= 61
    assert len(fake.grants("password")) == 2


async def test_a_clock_that_was_set_back_keeps_nobody_from_signing_in(make_session, target, fake):
    clock = ImpatientClock()
    session = make_session(target, clock=clock)
    first = await session.token()
    clock.pushed_s = -7200
    fake.next_answer("token", refuse("refresh_token_not_found"))
    await session.renew(first)
    assert clock.slept == []


async def test_without_a_password_a_person_is_needed_and_the_session_file_stays(
    session, make_session, target, fake, store
):
    await session.token()
    kept = store.data
    later = WallClock()
    later.pushed_s = 3601
    bare = make_session(Target(url=target.url, key=ANON, email=EMAIL), clock=later)
    fake.next_answer("token", refuse("refresh_token_not_found"))
    with pytest.raises(NeedsSignIn) as caught:
        await bare.token()
    assert "cronmirror login" in caught.value.hint
    assert EMAIL in str(caught.value)
    assert store.data == kept
    asked = len(fake.calls)
    with pytest.raises(NeedsSignIn):
        await bare.token()
    assert len(fake.calls) == asked


async def test_a_login_by_another_process_is_taken_up(session, make_session, target, fake, store, clock):
    bare = make_session(Target(url=target.url, key=ANON))
    with pytest.raises(NeedsSignIn):
        await bare.token()
    heard: list[str] = []
    bare.on_change(heard.append)
    token = await session.token()
    assert await bare.token() == token
    assert heard == [token]


async def test_a_rotation_by_another_process_is_adopted_instead_of_repeated(session, make_session, target, fake, clock):
    await session.token()
    other = make_session(target)
    await other.token()
    clock.pushed_s = 3601
    rotated = await other.token()
    assert await session.token() == rotated
    assert len(fake.grants("refresh_token")) == 1


async def test_a_wrong_password_names_the_user_and_what_to_do(make_session, target, fake):
    session = make_session(Target(url=target.url, key=ANON, email=EMAIL, password="wrong"))
    with pytest.raises(NeedsSignIn, match=EMAIL) as caught:
        await session.token()
    assert "supabase.password" in caught.value.hint
    with pytest.raises(NeedsSignIn):
        await session.token()
    assert len(fake.grants("password")) == 1


async def test_an_unconfirmed_address_says_how_to_confirm_it(session, fake):
    fake.next_answer("token", refuse("email_not_confirmed"))
    with pytest.raises(NeedsSignIn) as caught:
        await session.sign_in(EMAIL, PASSWORD)
    assert "Confirm" in caught.value.hint


async def test_a_wrong_key_is_told_from_a_wrong_password(make_session, target):
    session = make_session(Target(url=target.url, key="sb_publishable_other", email=EMAIL, password=PASSWORD))
    with pytest.raises(NeedsSignIn, match="refused the API key") as caught:
        await session.token()
    assert "supabase.key" in caught.value.hint


# ── without a user ───────────────────────────────────────────────────────────


async def test_a_secret_key_needs_no_sign_in_and_cannot_be_renewed(make_session, target, fake):
    session = make_session(Target(url=target.url, key="sb_secret_x"))
    assert await session.token() == "sb_secret_x"
    with pytest.raises(NeedsSignIn, match="configured key"):
        await session.renew("sb_secret_x")
    assert fake.calls == []


async def test_an_open_project_is_used_with_the_public_key_alone(make_session, target):
    assert await make_session(Target(url=target.url, key=ANON, anonymous=True)).token() == ANON


async def test_without_user_and_store_a_person_is_needed(make_session, target):
    with pytest.raises(NeedsSignIn, match="not signed in"):
        await make_session(Target(url=target.url, key=ANON)).token()


# ── signing in and out by hand ───────────────────────────────────────────────


async def test_signing_out_forgets_the_session_here_and_there(session, fake, store):
    token = await session.token()
    await session.sign_out()
    assert store.data == b""
    assert fake.calls[-1].path == "/auth/v1/logout"
    assert fake.calls[-1].token == token
    await session.sign_out()
    assert len(fake.paths("logout")) == 1


async def test_signing_out_of_an_ended_session_is_fine(session, fake):
    await session.token()
    fake.next_answer("logout", refuse("session_not_found", 403))
    await session.sign_out()


# ── the refresher ────────────────────────────────────────────────────────────


async def test_the_refresher_is_ahead_of_expiry_and_looks_at_once_when_woken(make_session, target, fake):
    clock = VirtualClock()
    session = make_session(target, clock=clock)
    first = await session.token()
    async with running(session.run()):
        for _ in range(3):
            await clock.advance(30)
        assert len(fake.grants("refresh_token")) == 0
        clock.step_wall(timedelta(hours=2))
        session.wake()
        await wait_until(lambda: len(fake.grants("refresh_token")) == 1)
        await wait_until(lambda: session._tokens.access != first)


async def test_a_sign_in_that_waits_tries_again_when_woken_but_honours_the_servers_wish(make_session, target, fake):
    session = make_session(target, clock=VirtualClock())  # it never moves: nothing here ends by waiting
    fake.next_answer("/token", Answer(status=503))
    async with running(session.token()) as waiting:
        await wait_until(lambda: session.problem)
        session.wake()
        assert await asyncio.wait_for(asyncio.shield(waiting), 5)
    fake.next_answer("/token", Answer(status=429, headers={"retry-after": "60"}))
    async with running(session.renew(await session.token())):
        await wait_until(lambda: session.problem)
        for _ in range(3):
            session.wake()
            await asyncio.sleep(0)
        assert session.problem


@pytest.mark.parametrize(("lifetime_s", "ahead_s"), [(4, 2), (300, 60), (3600, 360)])
def test_a_session_is_refreshed_a_minute_or_a_tenth_ahead_and_never_in_its_first_half(lifetime_s, ahead_s):
    now = WallClock().now()
    until = now + timedelta(seconds=lifetime_s)
    tokens = Tokens(access="a", refresh="r", expires_at=until, lifetime_s=lifetime_s, email=EMAIL)
    assert tokens.due_in_s(now) == lifetime_s - ahead_s


async def test_the_refresher_renews_a_short_session_before_half_of_it_is_over(session, fake):
    fake.lifetime_s = 4
    async with running(session.run()):
        await wait_until(lambda: len(fake.grants("refresh_token")) >= 2, timeout=8)
    assert len(fake.grants("password")) == 1


async def test_the_refresher_waits_for_a_person_and_goes_on_after_the_login(make_session, target, fake, store):
    clock = VirtualClock()
    bare = make_session(Target(url=target.url, key=ANON), clock=clock)
    async with running(bare.run()) as task:
        await clock.advance(95)
        assert not task.done()
        assert bare.problem
        await make_session(target, clock=clock).token()
        await clock.advance(60)
        assert bare.email == EMAIL


async def test_the_refresher_has_nothing_to_do_for_a_secret_key_and_still_does_not_end(make_session, target):
    clock = VirtualClock()
    async with running(make_session(Target(url=target.url, key="sb_secret_x"), clock=clock).run()) as task:
        await clock.advance(120)
        assert not task.done()


async def test_closing_ends_a_refresh_under_way(session, fake):
    fake.next_answer("token", Answer(status=200, delay_s=30))
    waiting = asyncio.create_task(session.token())
    await wait_until(lambda: fake.calls)
    await session.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
