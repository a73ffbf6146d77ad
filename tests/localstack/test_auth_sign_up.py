"""`/signup`: closed unless the installation opens it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agent.localstack.auth import Auth, Policy
from tests.localstack.conftest import Api
from tests.support.stack import StackThread

SIGN_UP = "/auth/v1/signup"


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


@pytest.fixture
def opened(bare: StackThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch as `Options.sign_up` sets it."""
    invitations = bare.local._invitations
    assert invitations
    auth: Auth = invitations._auth
    opened = Policy(ttl_s=auth._policy.ttl_s, issuer=auth._policy.issuer, sign_up=True)
    monkeypatch.setattr(auth, "_policy", opened)
    monkeypatch.setattr(auth._grants, "_policy", opened)


async def test_nobody_signs_up_unless_it_is_switched_on(anon: Api, new_email: str) -> None:
    answer = await anon.post(SIGN_UP, {"email": new_email, "password": "pw-pw-pw"})
    assert (refused(answer), answer.json()["msg"]) == (
        (422, "signup_disabled"),
        "Signups not allowed for this instance",
    )
    assert anon.stack.sql("select id from auth.users where email = %s", new_email) == []


async def test_nobody_is_anonymous(anon: Api) -> None:
    assert refused(await anon.post(SIGN_UP, {})) == (422, "anonymous_provider_disabled")


@pytest.mark.usefixtures("opened")
async def test_a_new_account_is_confirmed_at_once_and_signed_in(anon: Api, new_email: str) -> None:
    answer = await anon.post(SIGN_UP, {"email": new_email.upper(), "password": "pw-pw-pw", "data": {"name": "Ann"}})
    session = answer.json()
    assert (answer.status_code, session["token_type"]) == (200, "bearer")
    assert session["user"]["email"] == new_email
    assert session["user"]["user_metadata"] == {"name": "Ann", "email_verified": True}
    assert session["user"]["role"] == "authenticated"
    assert anon.stack.keys.verify(session["access_token"])["email"] == new_email
    assert (await anon.get("/auth/v1/settings")).json()["disable_signup"] is False


@pytest.mark.usefixtures("opened")
async def test_an_address_signs_up_once(anon: Api, new_email: str) -> None:
    body = {"email": new_email, "password": "pw-pw-pw"}
    await anon.post(SIGN_UP, body)
    answer = await anon.post(SIGN_UP, body | {"password": "another-password"})
    assert (refused(answer), answer.json()["msg"]) == ((422, "user_already_exists"), "User already registered")


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ({"password": ""}, 400, "validation_failed"),
        ({"password": "12345"}, 422, "weak_password"),
        ({"password": "x" * 73}, 400, "validation_failed"),
        ({"email": "no address"}, 400, "validation_failed"),
        ({"phone": "+49"}, 400, "validation_failed"),
        ({"email": "", "phone": "+49"}, 400, "phone_provider_disabled"),
        ({"data": []}, 400, "bad_json"),
        ({"data": {"a": "x" * 9000}}, 422, "validation_failed"),
    ],
)
async def test_an_account_that_cannot_be_made(
    anon: Api, new_email: str, what: dict[str, Any], status: int, code: str
) -> None:
    assert refused(await anon.post(SIGN_UP, {"email": new_email, "password": "pw-pw-pw"} | what)) == (status, code)
    assert anon.stack.sql("select id from auth.users where email = %s", new_email) == []


@pytest.mark.usefixtures("opened")
async def test_whoever_signs_up_has_no_say_in_role_and_app_metadata(anon: Api, new_email: str) -> None:
    body = {"email": new_email, "password": "pw-pw-pw", "role": "service_role", "app_metadata": {"admin": True}}
    user = (await anon.post(SIGN_UP, body)).json()["user"]
    assert (user["role"], user["app_metadata"]) == ("authenticated", {"provider": "email", "providers": ["email"]})
