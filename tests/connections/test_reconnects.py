"""Signing in again for a page: what the agent says, keeps, and refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.connections.reconnects import Desk, Reconnects
from agent.errors import Refused, StateError, Unreachable
from agent.model import Grant, ReconnectStatus, Refreshed
from tests.support.clock import VirtualClock, settle
from tests.support.fake_reconnects import (
    NOW,
    PAGE,
    REFUSED,
    FakeConnectionCalls,
    FakeKeeper,
    FakeOAuth,
    a_connection,
    a_request,
)


class House:
    def __init__(self, **connection) -> None:
        self.clock = VirtualClock(NOW)
        self.calls = FakeConnectionCalls()
        self.oauth = FakeOAuth()
        self.keeper = FakeKeeper(known={"drive": a_connection(**connection)})
        self.shown = 0
        desk = Desk(
            oauth=self.oauth, connections=self.keeper, reconnection=self.keeper, calls=self.calls, report=self._show
        )
        self.reconnects = Reconnects(desk, self.clock)

    async def _show(self) -> None:
        self.shown += 1
        self.answers_when_shown = len(self.calls.answers)

    async def attend(self, *requests) -> None:
        self.reconnects.attend(requests)
        await settle()

    async def begin(self, **more):
        """A request that waits for its person."""
        request = a_request(**more)
        await self.attend(request)
        return replace(request, status=ReconnectStatus.WAITING)

    async def hand_over(self, request, code: str = "the-code") -> None:
        self.calls.codes[request.id] = code
        await self.attend(replace(request, status=ReconnectStatus.GIVEN, code_waits=True))

    @property
    def error(self) -> str | None:
        return self.calls.answers[-1].error


@pytest.fixture
async def house():
    house = House()
    yield house
    await house.reconnects.close()


async def test_a_sign_in_by_browser(house) -> None:
    request = await house.begin()
    (answer,) = house.calls.answers
    assert answer.sign_in is not None
    assert (answer.sign_in.redirect_uri, answer.error) == (PAGE, None)

    await house.attend(request)
    assert len(house.calls.answers) == 1, "it is the person's turn"
    await house.hand_over(request)
    assert house.oauth.exchanged == [(answer.sign_in, "the-code", None)]
    assert (len(house.keeper.accepted), house.shown, house.error) == (1, 1, None)
    assert house.answers_when_shown == len(house.calls.answers) - 1, "the page reads again when it is answered"
    assert "verifier" not in repr(answer)


async def test_the_account_that_the_redirect_named_goes_along() -> None:
    house = House(account_parameter="realmId")
    request = await house.begin()
    await house.hand_over(request, "?code=a%2Fb&realmId=42&x=1")
    assert house.oauth.exchanged[0][1:] == ("a/b", "42")


async def test_a_sign_in_by_device_code(house) -> None:
    house.keeper.known["drive"] = a_connection(grant=Grant.DEVICE_CODE, device_url="https://provider.example/device")
    request = await house.begin()
    assert house.calls.answers[0].device is not None
    await house.attend(request)
    assert len(house.calls.answers) == 1
    house.oauth.signed_in.set()
    await settle()
    assert (len(house.keeper.accepted), house.error) == (1, None)


async def test_without_an_address_the_device_flow_is_taken_where_there_is_one(house) -> None:
    await house.begin(redirect_uri=None)
    assert "did not say where" in house.error
    house.keeper.known["drive"] = a_connection(device_url="https://provider.example/device")
    await house.begin(redirect_uri=None)
    assert house.calls.answers[-1].device is not None


@pytest.mark.parametrize(("renewed", "error"), [(Refreshed.REFRESHED, None), (Refreshed.FAILED, "gave no token")])
async def test_client_credentials_need_nobody(house, renewed, error) -> None:
    house.keeper.known["drive"] = a_connection(grant=Grant.CLIENT_CREDENTIALS)
    house.keeper.renewed = renewed
    await house.begin()
    assert (house.error is None) if error is None else (error in house.error)


async def test_another_account_is_refused_unless_the_admin_says_otherwise(house) -> None:
    house.oauth.account = "other@example.com"
    await house.hand_over(await house.begin())
    assert "another account" in house.error
    assert house.keeper.accepted == []
    await house.hand_over(await house.begin(other_account_ok=True))
    assert (house.error, len(house.keeper.accepted)) == (None, 1)


async def test_what_goes_wrong_is_said_to_who_waits(house) -> None:
    house.oauth.failure = REFUSED
    await house.hand_over(await house.begin())
    assert house.error == "The person said no."

    house.oauth.failure = None
    request = await house.begin()
    await house.attend(replace(request, status=ReconnectStatus.GIVEN, code_waits=True))
    assert "lost on its way" in house.error

    async def full(*_, **__):
        raise StateError("the disk is full")

    house.keeper.accept = full
    await house.hand_over(await house.begin())
    assert "the disk is full" in house.error

    async def broken(*_, **__):
        raise RuntimeError("secret-detail")

    house.keeper.accept = broken
    await house.hand_over(await house.begin())
    assert house.error == "The agent failed; its log says why."

    house.keeper.known.clear()
    await house.begin()
    assert "not in the agent's configuration" in house.error


@pytest.mark.parametrize("status", [ReconnectStatus.WAITING, ReconnectStatus.GIVEN])
async def test_after_a_restart_the_person_begins_anew(house, status) -> None:
    await house.attend(a_request(status=status, code_waits=status is ReconnectStatus.GIVEN))
    assert "restarted" in house.error
    assert house.oauth.exchanged == []


async def test_an_answer_that_was_not_heard_is_said_again_with_the_same_state(house) -> None:
    house.calls.failing = [Unreachable("no"), Unreachable("no")]
    request = await house.begin()
    assert house.calls.answers == []
    await house.clock.advance(10)
    assert len(house.calls.answers) == 1
    await house.attend(replace(request, status=ReconnectStatus.ASKED))
    first, second = house.calls.answers
    assert first == second, "the server may have the first one"


async def test_an_answer_that_is_refused_or_too_late_is_given_up(house) -> None:
    house.calls.failing = [Refused("no", code="22023", status=400)]
    await house.begin()
    assert house.calls.answers == []
    house.calls.failing = [Unreachable("no")]
    await house.begin(expires_at=NOW + timedelta(seconds=3))
    await house.clock.advance(60)
    assert house.calls.answers == []


async def test_a_request_that_is_over_is_forgotten(house) -> None:
    house.keeper.known["drive"] = a_connection(device_url="https://provider.example/device")
    await house.begin(redirect_uri=None)
    browser = await house.begin()
    await house.attend()
    house.oauth.signed_in.set()
    await settle()
    assert house.keeper.accepted == []
    await house.hand_over(browser)
    assert "restarted" in house.error
    assert house.oauth.exchanged == []


async def test_a_device_sign_in_that_was_over_before_it_began_asks_nobody(house) -> None:
    house.keeper.known["drive"] = a_connection(grant=Grant.DEVICE_CODE, device_url="https://provider.example/device")
    house.calls.over = True
    house.oauth.signed_in.set()
    await house.begin()
    assert house.keeper.accepted == []
    house.oauth.failure = REFUSED
    await house.begin()
    assert house.error == "The person said no."
