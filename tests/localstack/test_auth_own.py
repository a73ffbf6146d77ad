"""What a signed-in user changes of the own account, and what would need a mail."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from supabase import AsyncClient

from tests.localstack.conftest import Api
from tests.support.stack import StackThread

PASSWORD = "pw-pw-pw"


@pytest.fixture
async def me(api: Api, new_email: str) -> Api:
    """Somebody new, signed in."""
    api.stack.create_user(new_email, PASSWORD)
    await api.sign_in(new_email)
    return api


async def change(api: Api, **what: Any) -> httpx.Response:
    return await api.call("PUT", "/auth/v1/user", what)


async def sign_in(api: Api, email: str, password: str = PASSWORD) -> httpx.Response:
    return await api.post(
        "/auth/v1/token?grant_type=password", {"email": email, "password": password}, authorization=""
    )


async def refresh(api: Api, session: dict[str, Any]) -> httpx.Response:
    body = {"refresh_token": session["refresh_token"]}
    return await api.post("/auth/v1/token?grant_type=refresh_token", body, authorization="")


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


async def test_data_is_merged_into_the_user_metadata_and_null_removes(me: Api) -> None:
    await change(me, data={"name": "Ann", "theme": "dark"})
    answer = await change(me, data={"theme": None, "size": 3})
    assert answer.json()["user_metadata"] == {"name": "Ann", "size": 3, "email_verified": True}
    assert (await me.get("/auth/v1/user")).json()["user_metadata"] == answer.json()["user_metadata"]


async def test_the_next_token_carries_the_new_metadata(me: Api, new_email: str) -> None:
    await change(me, data={"name": "Ann"})
    session = (await sign_in(me, new_email)).json()
    assert me.stack.keys.verify(session["access_token"])["user_metadata"]["name"] == "Ann"


async def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(me: Api, new_email: str) -> None:
    other = (await sign_in(me, new_email)).json()
    mine = (await sign_in(me, new_email)).json()
    me.token = mine["access_token"]
    assert (await change(me, password="another-password")).status_code == 200
    assert refused(await refresh(me, other)) == (400, "refresh_token_not_found")
    assert (await refresh(me, mine)).status_code == 200
    assert refused(await sign_in(me, new_email)) == (400, "invalid_credentials")
    assert (await sign_in(me, new_email, "another-password")).status_code == 200


async def test_the_new_password_has_to_differ_from_the_old_one(me: Api) -> None:
    answer = await change(me, password=PASSWORD)
    assert (refused(answer), answer.json()["msg"]) == (
        (422, "same_password"),
        "New password should be different from the old password.",
    )


@pytest.mark.parametrize(
    ("password", "status", "code"),
    [("", 422, "weak_password"), ("12345", 422, "weak_password"), ("x" * 73, 400, "validation_failed")],
)
async def test_a_password_that_may_not_be_chosen(
    me: Api, new_email: str, password: str, status: int, code: str
) -> None:
    assert refused(await change(me, password=password)) == (status, code)
    assert (await sign_in(me, new_email)).status_code == 200


async def test_a_new_address_waits_until_an_administrator_settles_it(me: Api, service: Api, new_email: str) -> None:
    """Hosted Supabase waits for the click in a mail; none is sent from here."""
    answer = await change(me, email=f"New-{new_email}")
    assert (answer.json()["email"], answer.json()["new_email"]) == (new_email, f"new-{new_email}")
    assert refused(await sign_in(me, f"new-{new_email}")) == (400, "invalid_credentials")
    assert (await sign_in(me, new_email)).status_code == 200
    path = f"/auth/v1/admin/users/{answer.json()['id']}"
    settled = (await service.call("PUT", path, {"email": f"new-{new_email}", "email_confirm": True})).json()
    assert (settled["email"], "new_email" in settled) == (f"new-{new_email}", False)
    assert (await sign_in(me, f"new-{new_email}")).status_code == 200


async def test_the_own_address_again_is_no_change(me: Api, new_email: str) -> None:
    answer = await change(me, email=new_email.upper())
    assert (answer.status_code, "new_email" in answer.json()) == (200, False)


async def test_an_address_of_somebody_else_is_refused(me: Api, new_email: str) -> None:
    answer = await change(me, email="Ann@example.com")
    assert (refused(answer), answer.json()["msg"]) == (
        (422, "email_exists"),
        "A user with this email address has already been registered",
    )


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ({"email": "no address"}, 400, "validation_failed"),
        ({"app_metadata": {"plan": "pro"}}, 403, "not_admin"),
        ({"app_metadata": {}}, 403, "not_admin"),
        ({"phone": "+49"}, 501, "not_implemented"),
        ({"data": [1]}, 400, "bad_json"),
        ({"data": {"a": "x" * 9000}}, 422, "validation_failed"),
        ({"password": 8}, 400, "bad_json"),
    ],
)
async def test_what_a_user_may_not_change(me: Api, what: dict[str, Any], status: int, code: str) -> None:
    before = (await me.get("/auth/v1/user")).json()
    assert refused(await change(me, **what)) == (status, code)
    assert (await me.get("/auth/v1/user")).json() == before


@pytest.mark.parametrize(
    "body",
    [b'{"data": {"a": NaN}}', b'{"data": {"a": -Infinity}}', b'{"data": {"a": ' + b"[" * 33 + b"]" * 33 + b"}}"],
)
async def test_what_is_no_json_or_nested_too_deep_is_bad_json(me: Api, body: bytes) -> None:
    assert refused(await me.call("PUT", "/auth/v1/user", body)) == (400, "bad_json")
    shallow = b'{"data": {"a": ' + b"[" * 20 + b"]" * 20 + b"}}"
    assert (await me.call("PUT", "/auth/v1/user", shallow)).status_code == 200


async def test_role_and_ban_are_no_members_of_the_own_account(me: Api) -> None:
    """GoTrue's decoder ignores what its struct does not name."""
    before = (await me.get("/auth/v1/user")).json()
    answer = await change(me, role="service_role", ban_duration="none", email_confirm=True, data={})
    assert {name: value for name, value in answer.json().items() if name != "updated_at"} == {
        name: value for name, value in before.items() if name != "updated_at"
    }


async def test_nobody_else_changes_an_account(anon: Api) -> None:
    assert refused(await change(anon, data={"a": 1})) == (403, "bad_jwt")


async def test_a_token_without_a_session_signs_all_of_them_out(me: Api, new_email: str) -> None:
    session = (await sign_in(me, new_email)).json()
    claims = me.stack.keys.verify(session["access_token"])
    me.token = me.stack.keys.mint({name: value for name, value in claims.items() if name != "session_id"}, 60)
    assert (await me.get("/auth/v1/user")).json()["email"] == new_email
    assert (await me.post("/auth/v1/logout?scope=local", None)).status_code == 204
    assert refused(await refresh(me, session)) == (400, "refresh_token_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("recover", "otp", "magiclink", "resend", "invite")),
        ("GET", "reauthenticate"),
    ],
)
async def test_what_would_send_a_mail_says_that_none_is_sent(me: Api, method: str, path: str) -> None:
    """A page that is told 200 here tells people to look into their mailbox."""
    answer = await me.call(method, f"/auth/v1/{path}", {"email": "ann@example.com"})
    assert refused(answer) == (501, "not_implemented")
    assert "no mail is sent" in answer.json()["msg"]


@pytest.mark.parametrize("body", [{}, {"email": ""}, {"email": "no address"}])
async def test_recover_needs_an_address(anon: Api, body: dict[str, str]) -> None:
    assert refused(await anon.post("/auth/v1/recover", body)) == (400, "validation_failed")


async def test_the_python_client_changes_user_and_password(client: AsyncClient, table: StackThread) -> None:
    changed = await client.auth.update_user({"data": {"name": "Ann"}})
    assert changed.user.user_metadata["name"] == "Ann"
    await client.auth.update_user({"password": "another-password"})
    try:
        again = await client.auth.sign_in_with_password({"email": "ann@example.com", "password": "another-password"})
        assert again.user is not None
    finally:
        table.sql("delete from auth.users where email = 'ann@example.com'")
