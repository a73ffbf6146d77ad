"""`/auth/v1` in GoTrue's words."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from supabase import AsyncClient
from supabase_auth.errors import AuthApiError

from tests.localstack.conftest import Api
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

ANN = {"email": "ann@example.com", "password": "pw-pw-pw"}


async def grant(api: Api, kind: str, body: Any, **headers: str) -> httpx.Response:
    return await api.post(f"/auth/v1/token?grant_type={kind}", body, authorization="", **headers)


async def refresh(api: Api, token: str) -> httpx.Response:
    return await grant(api, "refresh_token", {"refresh_token": token})


async def test_a_password_grants_a_session_in_gotrues_shape(api: Api) -> None:
    before = int(time.time())
    session = (await grant(api, "password", ANN)).json()
    assert set(session) == {"access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user"}
    assert (session["token_type"], session["expires_in"]) == ("bearer", 3600)
    assert before + 3600 <= session["expires_at"] <= time.time() + 3600
    claims = api.stack.keys.verify(session["access_token"])
    assert claims["iss"] == f"{api.stack.url}/auth/v1"
    assert (claims["aud"], claims["role"], claims["email"]) == ("authenticated", "authenticated", "ann@example.com")
    assert (claims["sub"], claims["aal"], claims["is_anonymous"]) == (session["user"]["id"], "aal1", False)
    assert claims["amr"][0]["method"] == "password"
    assert session["user"]["email"] == "ann@example.com"
    assert session["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert session["user"]["last_sign_in_at"].endswith("Z")
    assert "encrypted_password" not in str(session)


async def test_the_address_is_compared_without_case(api: Api) -> None:
    assert (await grant(api, "password", ANN | {"email": "Ann@Example.COM"})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        ANN | {"password": "wrong"},
        ANN | {"password": ""},
        ANN | {"email": "nobody@example.com"},
        ANN | {"email": "not an address"},
        ANN | {"password": "pw-pw-pw\0"},
        ANN | {"password": "x" * 100},
        ANN | {"email": "a\0@example.com"},
    ],
)
async def test_bad_credentials_are_always_the_same_400(api: Api, body: dict[str, str]) -> None:
    answer = await grant(api, "password", body)
    assert answer.status_code == 400
    assert answer.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}


@pytest.mark.parametrize("version", ["2024-01-01", "2024-01-02", "2026-11-28"])
async def test_since_api_version_2024_01_01_errors_have_code_and_message(api: Api, version: str) -> None:
    answer = await grant(api, "password", ANN | {"password": "x"}, x_supabase_api_version=version)
    assert answer.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert answer.headers["x-supabase-api-version"] == "2024-01-01"
    assert answer.headers["x-sb-error-code"] == "invalid_credentials"


@pytest.mark.parametrize("version", ["2023-12-31", "newest", "20240101", "2024-13-01", "2024-1-1"])
async def test_an_older_api_version_and_what_is_no_date_get_the_first_error_shape(api: Api, version: str) -> None:
    answer = await grant(api, "password", ANN | {"password": "x"}, x_supabase_api_version=version)
    assert answer.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    assert "x-supabase-api-version" not in answer.headers


async def test_a_short_password_still_signs_in_and_is_called_weak(table: StackThread, api: Api, new_email: str) -> None:
    table.create_user(new_email, "short")
    session = (await grant(api, "password", {"email": new_email, "password": "short"})).json()
    message = "Password should be at least 6 characters."
    assert session["weak_password"] == {"message": message, "reasons": ["length"]}


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("password", b"{", 400, "bad_json"),
        ("password", b"[]", 400, "bad_json"),
        ("password", {"email": 3, "password": "x"}, 400, "bad_json"),
        ("password", {"password": "x"}, 400, "validation_failed"),
        ("password", {"phone": "+49", "password": "x"}, 422, "phone_provider_disabled"),
        ("password", {"phone": "+49", "email": "a@b.c", "password": "x"}, 400, "validation_failed"),
        ("password", b'{"email": NaN}', 400, "bad_json"),
        ("password", b"[" * 20_000, 400, "bad_json"),
        ("password", b"null", 400, "validation_failed"),
        ("refresh_token", {}, 400, "validation_failed"),
        ("refresh_token", {"refresh_token": "unknown"}, 400, "refresh_token_not_found"),
        ("refresh_token", {"refresh_token": "a\0b"}, 400, "validation_failed"),
        ("pkce", {}, 501, "not_implemented"),
        ("id_token", {}, 501, "not_implemented"),
        ("nonsense", {}, 400, "invalid_credentials"),
    ],
)
async def test_other_bad_requests(anon: Api, kind: str, body: Any, status: int, code: str) -> None:
    answer = await grant(anon, kind, body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_a_body_over_64_kib_is_refused(anon: Api) -> None:
    assert (await grant(anon, "password", b" " * 70_000)).status_code == 413


async def test_a_refresh_rotates_the_token(api: Api) -> None:
    first = (await grant(api, "password", ANN)).json()
    second = (await refresh(api, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    claims = [api.stack.keys.verify(each["access_token"]) for each in (first, second)]
    assert claims[0]["session_id"] == claims[1]["session_id"]
    assert claims[1]["amr"] == claims[0]["amr"]


async def test_the_parent_of_the_active_token_gets_the_active_one_again_even_late(api: Api) -> None:
    """The client crashed before it stored the answer: GoTrue lets it come back."""
    first = (await grant(api, "password", ANN)).json()["refresh_token"]
    second = (await refresh(api, first)).json()["refresh_token"]
    api.stack.sql("update auth.refresh_tokens set updated_at = now() - interval '1 hour'")
    again = await refresh(api, first)
    assert (again.status_code, again.json()["refresh_token"]) == (200, second)


async def test_an_older_token_is_taken_within_ten_seconds(api: Api) -> None:
    first = (await grant(api, "password", ANN)).json()["refresh_token"]
    second = (await refresh(api, first)).json()["refresh_token"]
    third = (await refresh(api, second)).json()["refresh_token"]
    answer = await refresh(api, first)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] not in {first, second, third}


async def test_an_older_token_after_ten_seconds_ends_the_session(api: Api) -> None:
    first = (await grant(api, "password", ANN)).json()["refresh_token"]
    second = (await refresh(api, first)).json()["refresh_token"]
    third = (await refresh(api, second)).json()["refresh_token"]
    api.stack.sql("update auth.refresh_tokens set updated_at = now() - interval '11 seconds' where token = %s", first)
    reused = await refresh(api, first)
    assert reused.status_code == 400
    assert reused.json() == {
        "code": 400,
        "error_code": "refresh_token_already_used",
        "msg": "Invalid Refresh Token: Already Used",
    }
    assert api.stack.sql("select revoked from auth.refresh_tokens where token = %s", third) == [{"revoked": True}]
    api.stack.sql("update auth.refresh_tokens set updated_at = now() - interval '11 seconds'")
    assert (await refresh(api, third)).json()["error_code"] == "refresh_token_already_used"


async def test_another_session_of_the_user_survives_that(api: Api) -> None:
    mine = (await grant(api, "password", ANN)).json()["refresh_token"]
    other = (await grant(api, "password", ANN)).json()["refresh_token"]
    await refresh(api, (await refresh(api, mine)).json()["refresh_token"])
    api.stack.sql("update auth.refresh_tokens set updated_at = now() - interval '1 min' where token = %s", mine)
    assert (await refresh(api, mine)).status_code == 400
    assert (await refresh(api, other)).status_code == 200


async def test_simultaneous_refreshes_with_one_token_all_succeed_with_one_successor(api: Api) -> None:
    first = (await grant(api, "password", ANN)).json()["refresh_token"]
    answers = await asyncio.gather(*(refresh(api, first) for _ in range(5)))
    assert [each.status_code for each in answers] == [200] * 5
    assert len({each.json()["refresh_token"] for each in answers}) == 1


async def test_refreshes_of_one_session_come_one_after_the_other(api: Api) -> None:
    first = (await grant(api, "password", ANN)).json()["refresh_token"]
    with psycopg.connect(api.stack.dsn) as holder:
        holder.execute("select from auth.refresh_tokens where token = %s for update", [first])
        both = [asyncio.create_task(refresh(api, first)) for _ in range(2)]
        await wait_until(lambda: _waiting_for_locks(api.stack) == 2, 10)
    answers = [(await each).json()["refresh_token"] for each in both]
    assert answers[0] == answers[1] != first


def _waiting_for_locks(stack: StackThread) -> int:
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = 'supabase_auth_admin'"
    return int(stack.sql(query)[0]["count"])


async def test_a_banned_or_unconfirmed_user_does_not_get_in(api: Api) -> None:
    token = (await grant(api, "password", ANN)).json()["refresh_token"]
    api.stack.sql("update auth.users set banned_until = now() + interval '1 hour' where email = 'ann@example.com'")
    banned = (await grant(api, "password", ANN)).json()["error_code"], (await refresh(api, token)).json()["error_code"]
    api.stack.sql(
        "update auth.users set banned_until = null, email_confirmed_at = null where email = 'ann@example.com'"
    )
    unconfirmed = (await grant(api, "password", ANN)).json()["error_code"]
    api.stack.sql("update auth.users set email_confirmed_at = now() where email = 'ann@example.com'")
    assert (banned, unconfirmed) == (("user_banned", "user_banned"), "email_not_confirmed")


async def test_user_returns_who_is_signed_in(api: Api) -> None:
    assert (await api.get("/auth/v1/user")).json()["email"] == "ann@example.com"


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("", 401, "no_authorization"),
        ("Basic abc", 401, "no_authorization"),
        ("Bearer abc", 403, "bad_jwt"),
        ("ANON", 403, "bad_jwt"),
        ("OTHERS", 403, "bad_jwt"),
        ("EXPIRED", 403, "bad_jwt"),
        ("NOBODY", 403, "user_not_found"),
        ("NO SESSION", 403, "session_not_found"),
        ("NOT A UUID", 400, "bad_jwt"),
        ("NO UUID SESSION", 403, "bad_jwt"),
        ("OTHER'S SESSION", 403, "session_not_found"),
    ],
)
async def test_user_refuses_everybody_else(api: Api, authorization: str, status: int, code: str) -> None:
    keys, me = api.stack.keys, api.stack.keys.verify(str(api.token))
    api.stack.create_user("bob@example.com", "pw-pw-pw")
    bobs = (await grant(api, "password", ANN | {"email": "bob@example.com"})).json()
    others_session = keys.verify(bobs["access_token"])["session_id"]
    tokens = {
        "ANON": keys.anon_key,
        "OTHERS": keys.anon_key[:-5] + "AAAAA",
        "EXPIRED": keys.mint(me | {"exp": int(time.time()) - 1}, 1),
        "NOBODY": keys.mint(me | {"sub": str(uuid4())}, 9),
        "NO SESSION": keys.mint(me | {"session_id": str(uuid4())}, 9),
        "NOT A UUID": keys.mint(me | {"sub": "ann"}, 9),
        "NO UUID SESSION": keys.mint(me | {"session_id": "x"}, 9),
        "OTHER'S SESSION": keys.mint(me | {"session_id": others_session}, 9),
    }
    given = f"Bearer {tokens[authorization]}" if authorization in tokens else authorization
    answer = await api.get("/auth/v1/user", authorization=given)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize(("scope", "left"), [("local", 1), ("others", 1), ("global", 0), ("", 0)])
async def test_logout_ends_the_sessions_of_its_scope(table: StackThread, new_email: str, scope: str, left: int) -> None:
    user_id = table.create_user(new_email, "pw-pw-pw")
    here, there = Api(table), Api(table)
    mine, other = await here.sign_in(new_email), await there.sign_in(new_email)
    answer = await here.post(f"/auth/v1/logout?scope={scope}", None)
    assert (answer.status_code, answer.content) == (204, b"")
    assert table.sql("select count(*) from auth.sessions where user_id = %s", user_id) == [{"count": left}]
    alive = [(await refresh(here, each["refresh_token"])).status_code for each in (mine, other)]
    assert alive == {"local": [400, 200], "others": [200, 400]}.get(scope, [400, 400])
    await here.http.aclose()
    await there.http.aclose()


async def test_an_unknown_scope_is_refused(api: Api) -> None:
    assert (await api.post("/auth/v1/logout?scope=all", None)).status_code == 400


async def test_health_settings_and_what_is_not_served(anon: Api) -> None:
    assert (await anon.get("/auth/v1/health")).json()["name"] == "GoTrue"
    settings = (await anon.get("/auth/v1/settings")).json()
    assert [name for name, on in settings["external"].items() if on] == ["email"]
    assert (settings["disable_signup"], settings["mailer_autoconfirm"]) == (True, True)
    for method, path in (("POST", "factors"), ("GET", "authorize"), ("POST", "admin/generate_link"), ("GET", "token")):
        answer = await anon.call(method, f"/auth/v1/{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (501, "not_implemented")


async def test_the_schema_auth_is_closed_to_the_api_roles(bare: StackThread) -> None:
    open_tables = bare.sql(
        "select c.relname, r.rolname from pg_class c, pg_roles r where c.relnamespace = 'auth'::regnamespace "
        "and c.relkind = 'r' and r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator') "
        "and has_any_column_privilege(r.rolname, c.oid, 'select, insert, update')"
    )
    assert open_tables == []


async def test_the_python_client_signs_in_refreshes_and_out(client: AsyncClient) -> None:
    session = await client.auth.get_session()
    assert session is not None
    refreshed = await client.auth.refresh_session()
    assert refreshed.session is not None
    assert refreshed.session.refresh_token != session.refresh_token
    found = await client.auth.get_user()
    assert found is not None
    assert found.user.email == "ann@example.com"
    await client.auth.sign_out()
    assert await client.auth.get_session() is None


async def test_the_python_client_sees_gotrues_error_code(client: AsyncClient) -> None:
    with pytest.raises(AuthApiError) as caught:
        await client.auth.sign_in_with_password(ANN | {"password": "wrong"})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.message) == ("invalid_credentials", "Invalid login credentials")
