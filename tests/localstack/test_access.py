"""Who is calling `/rest/v1`: API keys and tokens, in the words of the hosted gateway and of PostgREST."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest

from tests.localstack.conftest import Api


async def role(api: Api, key: str, authorization: str | None = None, **query: str) -> httpx.Response:
    headers = {"apikey": key} if key else {}
    headers |= {"authorization": authorization} if authorization is not None else {}
    return await api.http.post("/rest/v1/rpc/whoami", json={}, headers=headers, params=query)


@pytest.mark.parametrize("path", ["/rest/v1/things", "/auth/v1/health", "/auth/v1/user", "/auth/v1/nope"])
async def test_without_an_api_key_the_gateway_refuses(anon: Api, path: str) -> None:
    answer = await anon.http.get(path)
    assert answer.status_code == 401
    assert answer.json() == {
        "message": "No API key found in request",
        "hint": "No `apikey` request header or url param was found.",
    }


async def test_an_api_key_that_is_not_ours_is_refused(anon: Api) -> None:
    for key in ("nonsense", "sb_secret_" + "x" * 31, jwt.encode({"role": "service_role"}, "x" * 40)):
        answer = await role(anon, key)
        assert answer.status_code == 401
        assert answer.json() == {
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key.",
        }


async def test_the_key_may_come_in_the_query(anon: Api) -> None:
    assert (await role(anon, "", apikey=anon.stack.keys.secret_key)).json()["user"] == "service_role"
    assert (await anon.http.get(f"/rest/v1/numbers?limit=1&apikey={anon.key}")).json() == [{"i": 1}]


async def test_new_keys_stand_for_their_role_alone_or_as_bearer(anon: Api) -> None:
    keys = anon.stack.keys
    for key, expected in ((keys.publishable_key, "anon"), (keys.secret_key, "service_role")):
        assert (await role(anon, key)).json()["user"] == expected
        assert (await role(anon, key, f"Bearer {key}")).json()["user"] == expected


async def test_a_legacy_key_counts_as_bearer_and_without_one_the_caller_is_anon(anon: Api) -> None:
    keys = anon.stack.keys
    assert (await role(anon, keys.service_key, f"Bearer {keys.service_key}")).json()["user"] == "service_role"
    assert (await role(anon, keys.service_key)).json()["user"] == "anon"


async def test_the_bearer_decides_not_the_key(api: Api) -> None:
    keys = api.stack.keys
    for key in (keys.publishable_key, keys.anon_key, keys.secret_key, keys.service_key):
        assert (await role(api, key, f"Bearer {api.token}")).json()["user"] == "authenticated"
    assert (await role(api, keys.anon_key, f"bearer  {api.token}")).json()["user"] == "authenticated"


async def test_another_new_key_than_the_apikey_is_no_bearer(anon: Api) -> None:
    keys = anon.stack.keys
    answer = await role(anon, keys.publishable_key, f"Bearer {keys.secret_key}")
    assert answer.status_code == 401
    assert answer.json()["message"] == "Expected 3 parts in JWT; got 1"


@pytest.mark.parametrize(
    ("token", "code", "message"),
    [
        ("", "PGRST301", "Empty JWT is sent in Authorization header"),
        ("abc", "PGRST301", "Expected 3 parts in JWT; got 1"),
        ("a.b", "PGRST301", "Expected 3 parts in JWT; got 2"),
        ("a.b.c", "PGRST301", "No suitable key or wrong key type"),
        (jwt.encode({"role": "service_role"}, "x" * 40), "PGRST301", "No suitable key or wrong key type"),
    ],
)
async def test_a_token_that_cannot_be_decoded_is_pgrst301(anon: Api, token: str, code: str, message: str) -> None:
    answer = await role(anon, anon.key, f"Bearer {token}".strip())
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (401, code, message)
    assert answer.headers["www-authenticate"] == f'Bearer error="invalid_token", error_description="{message}"'


def signed(api: Api, **claims: Any) -> str:
    return "Bearer " + api.stack.keys.mint(claims, 60)


async def test_an_expired_token_is_pgrst303_after_postgrests_thirty_seconds(anon: Api) -> None:
    now = int(time.time())
    late = await role(anon, anon.key, signed(anon, role="authenticated", exp=now - 35))
    assert (late.status_code, late.json()["code"], late.json()["message"]) == (401, "PGRST303", "JWT expired")
    assert (await role(anon, anon.key, signed(anon, role="authenticated", exp=now - 5))).status_code == 200


async def test_a_token_without_a_role_is_anon(anon: Api) -> None:
    assert (await role(anon, anon.key, signed(anon, sub=None))).json()["role"] == "anon"


@pytest.mark.parametrize("name", ["postgres", "supabase_auth_admin", "authenticator", "nobody"])
async def test_a_token_with_another_role_is_refused(anon: Api, name: str) -> None:
    answer = await role(anon, anon.key, signed(anon, role=name))
    assert (answer.status_code, answer.json()["message"]) == (401, f'role "{name}" does not exist')


async def test_a_token_that_is_not_valid_yet_is_pgrst303(anon: Api) -> None:
    answer = await role(anon, anon.key, signed(anon, role="anon", nbf=int(time.time()) + 90))
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST303")


async def test_a_user_is_refused_before_anything_is_looked_up(anon: Api) -> None:
    answer = await anon.http.get("/rest/v1/nope", headers={"apikey": anon.key, "authorization": "Bearer x"})
    assert answer.json()["code"] == "PGRST301"
