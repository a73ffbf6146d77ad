"""How often somebody may fail to sign in: token buckets, and what they do to `/auth/v1`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from agent.localstack.auth import Auth
from agent.localstack.auth.caller import device_of
from agent.localstack.limits import Attempts, Buckets, Limits, Rate, TooMany, network_of
from tests.localstack.conftest import Api
from tests.support.stack import StackThread


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def stranger(_: str, __: str) -> bool:
    return False


@pytest.fixture
def clock() -> Hand:
    return Hand()


def test_a_bucket_gives_its_burst_and_then_one_per_period(clock: Hand) -> None:
    bucket = Buckets(Rate(burst=3, every_s=10), clock=clock)
    assert [bucket.take("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    clock.now += 4
    assert bucket.take("a") == pytest.approx(6)
    clock.now += 6
    assert [bucket.take("a"), bucket.take("a")] == [0, pytest.approx(10)]
    assert bucket.take("b") == 0


def test_a_bucket_never_holds_more_than_its_burst(clock: Hand) -> None:
    bucket = Buckets(Rate(burst=2, every_s=1), clock=clock)
    clock.now += 3600
    bucket.give_back("a")
    assert [bucket.take("a") for _ in range(3)] == [0, 0, 1]


def test_the_keys_used_longest_ago_are_forgotten_first(clock: Hand) -> None:
    bucket = Buckets(Rate(burst=1, every_s=60), clock=clock, most=2)
    for key in "abc":
        bucket.take(key)
    assert (bucket.take("b"), bucket.take("c"), bucket.take("a")) == (60, 60, 0)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60))
def test_no_order_of_taking_gives_more_than_burst_and_rate(steps: list[tuple[float, bool]]) -> None:
    clock = Hand()
    bucket, taken, began = Buckets(Rate(burst=5, every_s=7), clock=clock), 0, clock.now
    for wait, returned in steps:
        clock.now += wait
        if bucket.take("a") == 0:
            taken += 1
            if returned:
                bucket.give_back("a")
                taken -= 1
    assert taken <= 5 + (clock.now - began) / 7 + 1e-6


async def fail(attempts: Attempts, address: str, account: str, times: int) -> int:
    """How many of them were let through."""
    done = 0
    for _ in range(times):
        try:
            await attempts.sign_in(address, account)
        except TooMany:
            continue
        done += 1
    return done


async def test_failures_of_one_address_are_limited_over_all_accounts(clock: Hand) -> None:
    attempts = Attempts(Limits(), stranger, clock=clock)
    assert sum([await fail(attempts, "192.0.2.1", f"{n}@x", 1) for n in range(50)]) == 30
    assert await fail(attempts, "192.0.2.2", "a@x", 1) == 1
    clock.now += 2
    assert await fail(attempts, "192.0.2.1", "a@x", 5) == 1


async def test_failures_of_one_account_are_limited_over_all_addresses(clock: Hand) -> None:
    attempts = Attempts(Limits(), stranger, clock=clock)
    assert sum([await fail(attempts, f"192.0.2.{n}", "ann@x", 1) for n in range(50)]) == 10
    clock.now += 30
    assert await fail(attempts, "198.51.100.1", "ann@x", 5) == 1


async def test_an_attacker_does_not_lock_out_whoever_has_signed_in_from_there_before(clock: Hand) -> None:
    attempts = Attempts(Limits(), stranger, clock=clock)
    (await attempts.sign_in("192.0.2.200", "ann@x"))()
    assert sum([await fail(attempts, f"192.0.2.{n}", "ann@x", 1) for n in range(50)]) == 10
    (await attempts.sign_in("192.0.2.200", "ann@x"))()
    with pytest.raises(TooMany) as caught:
        await attempts.sign_in("192.0.2.201", "ann@x")
    assert caught.value.wait_s == pytest.approx(30)


async def test_a_known_address_is_limited_too(clock: Hand) -> None:
    attempts = Attempts(Limits(), stranger, clock=clock)
    (await attempts.sign_in("192.0.2.200", "ann@x"))()
    assert await fail(attempts, "192.0.2.200", "ann@x", 50) == 10


async def test_addresses_of_living_sessions_are_known_after_a_restart(clock: Hand) -> None:
    async def been_at(account: str, address: str) -> bool:
        return (account, address) == ("ann@x", "192.0.2.200")

    attempts = Attempts(Limits(), been_at, clock=clock)
    assert sum([await fail(attempts, f"192.0.2.{n}", "ann@x", 1) for n in range(50)]) == 10
    (await attempts.sign_in("192.0.2.200", "ann@x"))()


async def test_success_costs_nothing(clock: Hand) -> None:
    attempts = Attempts(Limits(), stranger, clock=clock)
    for _ in range(200):
        (await attempts.sign_in("192.0.2.1", "ann@x"))()
        attempts.refresh("192.0.2.1")()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.fixture
def limited(table: StackThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackThread]:
    """The stack as it is installed: tests are otherwise not limited."""
    invitations = table.local._invitations
    assert invitations
    assert table.local._accounts
    auth: Auth = invitations._auth
    attempts = Attempts(Limits(), table.local._accounts.has_been_at)
    monkeypatch.setattr(auth._grants, "_attempts", attempts)
    monkeypatch.setattr(auth._own, "_attempts", attempts)
    yield table
    table.sql("delete from auth.users where email like 'limited-%%'")


async def try_to(api: Api, email: str, word: str = "wrong") -> httpx.Response:
    return await api.post("/auth/v1/token?grant_type=password", {"email": email, "password": word})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("error_code")


async def test_too_many_failures_are_429_over_request_rate_limit(limited: StackThread, anon: Api) -> None:
    answers = [await try_to(anon, "limited-nobody@example.com") for _ in range(11)]
    assert {code(each) for each in answers[:10]} == {(400, "invalid_credentials")}
    assert code(answers[10]) == (429, "over_request_rate_limit")
    assert answers[10].json()["msg"] == "Request rate limit reached"
    assert 1 <= int(answers[10].headers["retry-after"]) <= 31


async def test_the_right_password_is_not_even_compared_then(limited: StackThread, anon: Api) -> None:
    """Otherwise guessing would only have become slower to tell."""
    limited.create_user("limited-ann@example.com", "pw-pw-pw")
    for _ in range(10):
        await try_to(anon, "limited-ann@example.com")
    assert code(await try_to(anon, "limited-ann@example.com", "pw-pw-pw"))[0] == 429


async def test_simultaneous_guesses_are_counted_before_they_are_compared(limited: StackThread, anon: Api) -> None:
    answers = await asyncio.gather(*(try_to(anon, "limited-x@example.com") for _ in range(40)))
    assert [each.status_code for each in answers].count(400) == 10


async def test_a_living_session_keeps_its_address_open(
    limited: StackThread, anon: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auth.sessions.ip`: an attack from elsewhere, and a stack that was started anew since."""
    limited.create_user("limited-ann@example.com", "pw-pw-pw")
    assert (await try_to(anon, "limited-ann@example.com", "pw-pw-pw")).status_code == 200
    [session] = limited.sql(
        "select host(s.ip) as ip from auth.sessions s join auth.users u on u.id = s.user_id "
        "where u.email = 'limited-ann@example.com'"
    )
    assert session == {"ip": "127.0.0.1"}
    assert limited.local._accounts
    attempts = Attempts(Limits(), limited.local._accounts.has_been_at)
    invitations = limited.local._invitations
    assert invitations
    monkeypatch.setattr(invitations._auth._grants, "_attempts", attempts)
    for _ in range(10):
        attempts._accounts.take("limited-ann@example.com")
    assert (await try_to(anon, "limited-ann@example.com", "pw-pw-pw")).status_code == 200


async def test_many_people_may_sign_in_at_once_from_one_address(limited: StackThread, anon: Api) -> None:
    for n in range(40):
        limited.create_user(f"limited-{n}@example.com", "pw-pw-pw")
    answers = await asyncio.gather(*(try_to(anon, f"limited-{n}@example.com", "pw-pw-pw") for n in range(40)))
    assert {each.status_code for each in answers} == {200}


async def test_unknown_refresh_tokens_are_limited_by_address(limited: StackThread, anon: Api) -> None:
    path, body = "/auth/v1/token?grant_type=refresh_token", {"refresh_token": "abcdefghijkl"}
    answers = [(await anon.post(path, body)).status_code for _ in range(35)]
    assert (answers[:30], answers[-1]) == ([400] * 30, 429)


async def test_changes_of_the_own_account_are_limited_by_user(limited: StackThread, anon: Api) -> None:
    """`same_password` tells whether a guess was right."""
    limited.create_user("limited-ann@example.com", "pw-pw-pw")
    await anon.sign_in("limited-ann@example.com")
    answers = [(await anon.call("PUT", "/auth/v1/user", {"data": {}})).status_code for _ in range(35)]
    assert (answers[:30], answers[-1]) == ([200] * 30, 429)


async def test_sign_ups_are_limited_by_address(limited: StackThread, anon: Api, new_email: str) -> None:
    body = {"email": new_email, "password": "pw-pw-pw"}
    answers = [(await anon.post("/auth/v1/signup", body)).status_code for _ in range(35)]
    assert (answers[:30], answers[-1]) == ([422] * 30, 429)


async def test_the_address_is_the_sockets_whatever_a_header_says(limited: StackThread, anon: Api) -> None:
    """Uvicorn believes X-Forwarded-For of loopback by default: any page in a browser here could write one."""
    headers = {"x_forwarded_for": "203.0.113.1", "x_real_ip": "203.0.113.2", "forwarded": "for=203.0.113.3"}
    limited.create_user("limited-ann@example.com", "pw-pw-pw")
    body = {"email": "limited-ann@example.com", "password": "pw-pw-pw"}
    assert (await anon.post("/auth/v1/token?grant_type=password", body, **headers)).status_code == 200
    found = limited.sql(
        "select distinct host(s.ip) as ip from auth.sessions s join auth.users u on u.id = s.user_id "
        "where u.email = 'limited-ann@example.com'"
    )
    assert found == [{"ip": "127.0.0.1"}]


@pytest.mark.parametrize(
    ("peer", "ip"), [("192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("testclient", None), ("", None)]
)
def test_the_address_of_a_peer_is_one_that_postgres_takes(peer: str, ip: str | None) -> None:
    scope = {"type": "http", "headers": [(b"user-agent", b"x" * 999)], "client": (peer, 1)}
    device = device_of(Request(scope))
    assert (device.ip, len(device.user_agent or "")) == (ip, 250)
