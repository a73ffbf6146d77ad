"""`/auth/v1/admin/users`, each behaviour named after GoTrue's rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions
from supabase_auth.errors import AuthApiError

from tests.localstack.conftest import Api
from tests.support.stack import StackThread

PASSWORD = "pw-pw-pw"
USERS = "/auth/v1/admin/users"


async def sign_in(api: Api, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "password": password}
    return await api.post("/auth/v1/token?grant_type=password", body, authorization="")


async def made(service: Api, email: str, **more: Any) -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, "email_confirm": True}
    answer = await service.post(USERS, body | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def change(service: Api, user: dict[str, Any], **what: Any) -> httpx.Response:
    return await service.call("PUT", f"{USERS}/{user['id']}", what)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/{id}"), ("PUT", "/{id}"), ("DELETE", "/{id}")],
)
async def test_only_the_service_role_administers(
    anon: Api, api: Api, service: Api, new_email: str, method: str, path: str
) -> None:
    user = await made(service, new_email)
    for someone in (anon, api):
        answer = await someone.call(method, USERS + path.format(id=user["id"]), {"email": new_email})
        assert refused(answer) == (403, "not_admin")
        assert answer.json()["msg"] == "User not allowed"
    alone = await anon.call(method, USERS + path.format(id=user["id"]), {}, authorization="")
    assert refused(alone) == (401, "no_authorization")
    assert (await sign_in(service, new_email)).status_code == 200


async def test_the_service_role_creates_users(service: Api, new_email: str) -> None:
    body = {"email": new_email.upper(), "password": PASSWORD, "email_confirm": True, "user_metadata": {"a": 1}}
    answer = await service.post(USERS, body)
    assert (answer.status_code, answer.json()["email"]) == (200, new_email)
    assert answer.json()["user_metadata"] == {"a": 1, "email_verified": True}
    assert answer.json()["identities"][0]["provider"] == "email"
    assert (await sign_in(service, new_email)).status_code == 200
    again = await service.post(USERS, body)
    assert refused(again) == (422, "email_exists")


@pytest.mark.parametrize("authorization", ["", None])
async def test_a_secret_key_alone_is_enough_for_that(service: Api, new_email: str, authorization: str | None) -> None:
    service.key = service.stack.keys.secret_key
    headers = {} if authorization is None else {"authorization": authorization}
    assert (await service.post(USERS, {"email": new_email, "password": PASSWORD}, **headers)).status_code == 200
    assert refused(await sign_in(service, new_email)) == (400, "email_not_confirmed")


async def test_a_user_without_a_password_gets_one_that_nobody_knows(service: Api, new_email: str) -> None:
    assert (await service.post(USERS, {"email": new_email, "email_confirm": True})).status_code == 200
    assert refused(await sign_in(service, new_email, "")) == (400, "invalid_credentials")


async def test_a_user_may_be_given_an_id_that_is_free(service: Api, new_email: str) -> None:
    wanted = str(uuid4())
    assert (await made(service, new_email, id=wanted))["id"] == wanted
    again = await service.post(USERS, {"email": f"other-{new_email}", "id": wanted})
    assert refused(again) == (409, "conflict")


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ({"email": None}, 400, "validation_failed"),
        ({"email": "no address"}, 400, "validation_failed"),
        ({"email": "a\ud800@example.com"}, 400, "validation_failed"),
        ({"email": 1}, 400, "bad_json"),
        ({"password": "x" * 73}, 400, "validation_failed"),
        ({"password": "\ud800" * 8}, 400, "validation_failed"),
        ({"password": "pw\0pw-pw"}, 400, "validation_failed"),
        ({"phone": "+49"}, 501, "not_implemented"),
        ({"password_hash": "$2a$10$"}, 501, "not_implemented"),
        ({"ban_duration": "soon"}, 400, "validation_failed"),
        ({"role": "postgres"}, 501, "not_implemented"),
        ({"id": "x"}, 400, "validation_failed"),
        ({"id": "00000000-0000-0000-0000-000000000000"}, 400, "validation_failed"),
        ({"id": 3}, 400, "bad_json"),
        ({"email_confirm": "yes"}, 400, "bad_json"),
        ({"app_metadata": []}, 400, "bad_json"),
        ({"app_metadata": [1]}, 400, "bad_json"),
        ({"user_metadata": {"a": "\0"}}, 400, "validation_failed"),
        ({"user_metadata": {"a": "x" * 9000}}, 422, "validation_failed"),
    ],
)
async def test_a_user_that_cannot_be_made(
    service: Api, new_email: str, what: dict[str, Any], status: int, code: str
) -> None:
    answer = await service.post(USERS, {"email": new_email, "password": PASSWORD} | what)
    assert refused(answer) == (status, code)
    assert refused(await sign_in(service, new_email)) == (400, "invalid_credentials")


async def test_a_user_is_found_by_id(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    assert (await service.get(f"{USERS}/{user['id']}")).json() == user
    unknown, malformed = await service.get(f"{USERS}/{uuid4()}"), await service.get(f"{USERS}/me")
    assert (refused(unknown), unknown.json()["msg"]) == ((404, "user_not_found"), "User not found")
    assert (refused(malformed), malformed.json()["msg"]) == ((404, "validation_failed"), "user_id must be an UUID")


async def test_the_list_is_newest_first_in_pages_with_link_and_total(service: Api) -> None:
    mark = uuid4().hex
    emails = [f"{n}-{mark}@example.com" for n in range(5)]
    for email in emails:
        await made(service, email)
    answer = await service.get(f"{USERS}?per_page=2&filter={mark}")
    assert [user["email"] for user in answer.json()["users"]] == [emails[4], emails[3]]
    assert (answer.json()["aud"], answer.headers["x-total-count"]) == ("authenticated", "5")
    following, last = answer.headers["link"].split(", ")
    assert (following.endswith('; rel="next"'), last.endswith('; rel="last"')) == (True, True)
    query = parse_qs(urlsplit(following[1 : following.index(">")]).query)
    assert query == {"page": ["2"], "per_page": ["2"], "filter": [mark]}
    final = await service.get(f"{USERS}?page=3&per_page=2&filter={mark}")
    assert [user["email"] for user in final.json()["users"]] == [emails[0]]
    assert 'rel="next"' not in final.headers["link"]
    assert (await service.get(f"{USERS}?page=99999999999999999&per_page=9999999&filter={mark}")).json()["users"] == []


async def test_pages_are_fifty_long_unless_said(service: Api) -> None:
    service.stack.sql(
        "insert into auth.users (email) select 'many-' || i || '@example.com' from generate_series(1, 60) i "
        "on conflict do nothing"
    )
    assert len((await service.get(USERS)).json()["users"]) == 50
    assert len((await service.get(f"{USERS}?per_page=55")).json()["users"]) == 55


async def test_the_filter_looks_in_the_full_name_too(service: Api, new_email: str) -> None:
    name = uuid4().hex
    await made(service, new_email, user_metadata={"full_name": f"Ann {name} Smith"})
    found = (await service.get(f"{USERS}?filter={name.upper()}")).json()["users"]
    assert [user["email"] for user in found] == [new_email]


@pytest.mark.parametrize(
    "query", ["page=x", "page=-1", "per_page=0", "per_page=1.5", "page=" + "9" * 30, "page=%C2%B2"]
)
async def test_bad_pagination_parameters_are_refused(service: Api, query: str) -> None:
    answer = await service.get(f"{USERS}?{query}")
    assert refused(answer) == (400, "validation_failed")
    assert answer.json()["msg"].startswith("Bad Pagination Parameters: ")


async def test_metadata_is_merged_and_null_removes_a_member(service: Api, new_email: str) -> None:
    user = await made(service, new_email, user_metadata={"a": 1, "b": {"c": 2}}, app_metadata={"plan": "free"})
    changed = await change(service, user, user_metadata={"a": None, "b": 3, "d": [4]}, app_metadata={"plan": None})
    assert changed.json()["user_metadata"] == {"b": 3, "d": [4], "email_verified": True}
    assert changed.json()["app_metadata"] == {"provider": "email", "providers": ["email"]}


async def test_metadata_that_no_token_could_carry_is_refused(service: Api, new_email: str) -> None:
    """Otherwise the person could not use the token that the next sign-in gives."""
    user = await made(service, new_email, user_metadata={"a": "x" * 5000})
    assert refused(await change(service, user, user_metadata={"b": "x" * 5000})) == (422, "validation_failed")
    service.token = (await sign_in(service, new_email)).json()["access_token"]
    assert (await service.get("/auth/v1/user")).status_code == 200


async def test_a_new_password_ends_every_session(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    session = (await sign_in(service, new_email)).json()
    assert (await change(service, user, password="another-password")).status_code == 200
    again = await service.post(
        "/auth/v1/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]}, authorization=""
    )
    assert refused(again) == (400, "refresh_token_not_found")
    assert refused(await sign_in(service, new_email)) == (400, "invalid_credentials")
    assert (await sign_in(service, new_email, "another-password")).status_code == 200


async def test_a_password_of_less_than_six_characters_is_weak(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    answer = await change(service, user, password="12345")
    assert refused(answer) == (422, "weak_password")
    assert answer.json()["weak_password"] == {"reasons": ["length"]}
    assert (await sign_in(service, new_email)).status_code == 200


async def test_the_address_is_changed_at_once_unless_it_is_taken(service: Api, new_email: str) -> None:
    user, other = await made(service, new_email), await made(service, f"other-{new_email}")
    assert refused(await change(service, user, email=other["email"].upper())) == (422, "email_exists")
    changed = await change(service, user, email=f"New-{new_email}")
    assert changed.json()["email"] == f"new-{new_email}"
    assert (await sign_in(service, f"new-{new_email}")).status_code == 200
    assert refused(await sign_in(service, new_email)) == (400, "invalid_credentials")


async def test_confirming_an_address_lets_its_user_in(service: Api, new_email: str) -> None:
    user = await made(service, new_email, email_confirm=False)
    assert refused(await sign_in(service, new_email)) == (400, "email_not_confirmed")
    confirmed = (await change(service, user, email_confirm=True)).json()
    assert confirmed["email_confirmed_at"].endswith("Z")
    assert confirmed["user_metadata"]["email_verified"] is True
    assert (await sign_in(service, new_email)).status_code == 200


async def test_a_ban_keeps_out_until_it_is_over_or_lifted(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    session = (await sign_in(service, new_email)).json()
    banned = (await change(service, user, ban_duration="1h30m")).json()
    until = datetime.fromisoformat(banned["banned_until"])
    assert timedelta(minutes=89) < until - datetime.now(UTC) <= timedelta(minutes=90)
    assert refused(await sign_in(service, new_email)) == (400, "user_banned")
    refreshed = await service.post(
        "/auth/v1/token?grant_type=refresh_token", {"refresh_token": session["refresh_token"]}, authorization=""
    )
    assert refused(refreshed) == (400, "user_banned")
    assert "banned_until" not in (await change(service, user, ban_duration="none")).json()
    assert (await sign_in(service, new_email)).status_code == 200
    await change(service, user, ban_duration="-1s")
    assert (await sign_in(service, new_email)).status_code == 200


async def test_a_user_may_be_made_banned(service: Api, new_email: str) -> None:
    assert "banned_until" in await made(service, new_email, ban_duration="876000h")
    assert refused(await sign_in(service, new_email)) == (400, "user_banned")


@pytest.mark.parametrize(
    "duration", ["1", "1d", "h", "1h ", "1h-1m", "forever", "99999999h", "1e3h", "٣h", "9" * 400 + "h"]
)
async def test_a_ban_duration_is_gos(service: Api, new_email: str, duration: str) -> None:
    user = await made(service, new_email)
    answer = await change(service, user, ban_duration=duration)
    assert refused(answer) == (400, "validation_failed")
    assert answer.json()["msg"].startswith("invalid format for ban duration: ")


async def test_a_deleted_user_is_gone_with_every_session(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    service.token = (await sign_in(service, new_email)).json()["access_token"]
    assert (await service.get("/auth/v1/user")).status_code == 200
    mine, service.token = service.token, None
    answer = await service.call("DELETE", f"{USERS}/{user['id']}")
    assert (answer.status_code, answer.json()) == (200, {})
    assert refused(await service.get(f"{USERS}/{user['id']}")) == (404, "user_not_found")
    service.token = mine
    assert refused(await service.get("/auth/v1/user")) == (403, "user_not_found")
    assert service.stack.sql("select id from auth.sessions where user_id = %s", user["id"]) == []
    service.token = None
    assert (await made(service, new_email))["id"] != user["id"]


async def test_a_user_who_still_owns_rows_cannot_be_deleted(service: Api, new_email: str) -> None:
    user = await made(service, new_email)
    service.stack.sql("create table owned (id uuid references auth.users)")
    service.stack.sql("insert into owned values (%s)", user["id"])
    answer = await service.call("DELETE", f"{USERS}/{user['id']}")
    service.stack.sql("drop table owned")
    assert (refused(answer), answer.json()["msg"]) == ((500, "unexpected_failure"), "Database error deleting user")


async def test_a_soft_delete_keeps_the_row_and_forgets_the_person(service: Api, new_email: str) -> None:
    user = await made(service, new_email, user_metadata={"full_name": "Ann"})
    await sign_in(service, new_email)
    answer = await service.call("DELETE", f"{USERS}/{user['id']}", {"should_soft_delete": True})
    assert (answer.status_code, answer.json()) == (200, {})
    left = (await service.get(f"{USERS}/{user['id']}")).json()
    assert left["deleted_at"].endswith("Z")
    assert (left["user_metadata"], left["app_metadata"], left["identities"]) == ({}, {}, [])
    assert new_email not in str(left)
    assert refused(await sign_in(service, new_email)) == (400, "invalid_credentials")
    assert service.stack.sql("select id from auth.sessions where user_id = %s", user["id"]) == []
    await made(service, new_email)


@pytest.fixture
async def admin(table: StackThread) -> AsyncIterator[AsyncClient]:
    """The real supabase-py with the secret key."""
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
        yield await acreate_client(table.url, table.keys.secret_key, options)


async def test_the_python_client_administers(admin: AsyncClient, new_email: str) -> None:
    users = admin.auth.admin
    user = (await users.create_user({"email": new_email, "password": PASSWORD, "email_confirm": True})).user
    assert (await users.get_user_by_id(user.id)).user.email == new_email
    changed = await users.update_user_by_id(user.id, {"user_metadata": {"a": 1}, "ban_duration": "24h"})
    assert changed.user.user_metadata["a"] == 1
    assert new_email in {each.email for each in await users.list_users(page=1, per_page=1000)}
    await users.delete_user(user.id)
    with pytest.raises(AuthApiError) as caught:
        await users.get_user_by_id(user.id)
    assert caught.value.code == "user_not_found"
