"""`POST /rest/v1/rpc/<function>` as PostgREST answers it."""

from __future__ import annotations

import json

import pytest
from supabase import AsyncClient

from tests.localstack.conftest import Api


async def test_a_function_runs_as_the_callers_role_with_his_claims(api: Api) -> None:
    answer = await api.post("/rest/v1/rpc/whoami", {}, x_test="abc")
    user = api.stack.sql("select id from auth.users where email = 'ann@example.com'")[0]["id"]
    assert answer.json() == {
        "uid": str(user),
        "role": "authenticated",
        "email": "ann@example.com",
        "user": "authenticated",
        "session": "authenticator",
        "method": "POST",
        "path": "/rpc/whoami",
        "agent": "abc",
    }


async def test_one_callers_identity_never_reaches_the_next(api: Api, anon: Api, service: Api) -> None:
    for _ in range(20):
        roles = [(await each.post("/rest/v1/rpc/whoami", {})).json() for each in (api, anon, service)]
        assert [each["user"] for each in roles] == ["authenticated", "anon", "service_role"]
        assert [each["uid"] is None for each in roles] == [False, True, True]


async def test_defaults_fill_what_is_not_given(anon: Api) -> None:
    assert (await anon.post("/rest/v1/rpc/add", {"a": 1})).text == "11"
    assert (await anon.post("/rest/v1/rpc/add", {"b": 2, "a": 1})).text == "3"


async def test_the_names_choose_the_overload(anon: Api) -> None:
    assert (await anon.post("/rest/v1/rpc/add", {"a": 1, "b": 2, "c": 3})).text == "6"


async def test_an_ambiguous_overload_is_300(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/twin", {"a": 1})
    assert (answer.status_code, answer.json()["code"]) == (300, "PGRST203")
    assert "public.twin(a => integer)" in answer.json()["message"]
    assert answer.json()["hint"].endswith("so function overloading can be resolved")


async def test_no_body_means_no_arguments(anon: Api) -> None:
    assert (await anon.call("POST", "/rest/v1/rpc/nobody")).text == "null"


@pytest.mark.parametrize(
    ("name", "body", "signature", "searched", "better"),
    [
        ("add", {"b": 1}, "add(b)", "add with parameter b", "add(a, b)"),
        ("add", {"a": 1, "zz": 1}, "add(a, zz)", "add with parameters a, zz", "add(a, b)"),
        ("nope", {}, "nope without parameters", "nope without parameters", None),
        ("whoamy", {}, "whoamy without parameters", "whoamy without parameters", "whoami"),
        ("is_a_trigger", {}, "is_a_trigger without parameters", "is_a_trigger without parameters", None),
        ("pg_sleep", {"seconds": 1}, "pg_sleep(seconds)", "pg_sleep with parameter seconds", None),
    ],
)
async def test_a_function_that_does_not_fit_is_pgrst202(
    anon: Api, name: str, body: dict[str, object], signature: str, searched: str, better: str | None
) -> None:
    answer = await anon.post(f"/rest/v1/rpc/{name}", body)
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "PGRST202",
        "details": f"Searched for the function public.{searched} or with a single unnamed json/jsonb parameter, "
        "but no matches were found in the schema cache.",
        "hint": better and f"Perhaps you meant to call the function public.{better}",
        "message": f"Could not find the function public.{signature} in the schema cache",
    }


async def test_void_is_204_without_a_body(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/nothing", {"p": "from rpc"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert anon.stack.sql("select count(*) from notes where body = 'from rpc'") == [{"count": 1}]


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("many", {"up_to": 3}, "[1, 2, 3]"),
        ("many", {"up_to": 0}, "[]"),
        ("pairs", {}, '[{"x": 1, "y": "a"}, {"x": 2, "y": null}]'),
        ("nobody", {}, "null"),
    ],
)
async def test_results_take_the_shape_of_the_return_type(anon: Api, name: str, body: object, text: str) -> None:
    answer = await anon.post(f"/rest/v1/rpc/{name}", body)
    assert (answer.status_code, answer.json()) == (200, json.loads(text))


async def test_a_composite_result_is_one_object(service: Api) -> None:
    assert (await service.post("/rest/v1/rpc/one_thing", {})).json()["n"] == 1


async def test_a_set_asked_for_as_one_object_must_have_one_row(anon: Api) -> None:
    wish = {"accept": "application/vnd.pgrst.object+json"}
    assert (await anon.post("/rest/v1/rpc/many", {"up_to": 1}, **wish)).text == "1"
    assert (await anon.post("/rest/v1/rpc/many", {"up_to": 2}, **wish)).status_code == 406
    assert (await anon.post("/rest/v1/rpc/add", {"a": 1}, **wish)).text == "11"


async def test_a_function_is_cut_at_a_thousand_rows(anon: Api) -> None:
    assert len((await anon.post("/rest/v1/rpc/many", {"up_to": 1500})).json()) == 1000


async def test_arguments_are_cast_as_postgrest_casts_them(anon: Api) -> None:
    given = {"i": 5, "t": 'q"', "u": "8a5f6b0e-0000-4000-8000-000000000001", "j": {"a": [1, None]}, "l": ["x", "y"]}
    answer = await anon.post("/rest/v1/rpc/typed", given | {"z": "2026-01-01T00:00:00Z"})
    assert answer.json() == given | {"z": "2026-01-01T00:00:00+00:00"}
    text = await anon.post("/rest/v1/rpc/typed", given | {"i": "5", "t": 7, "j": None})
    assert text.json() == given | {"t": "7", "j": None, "z": None}


async def test_a_value_that_does_not_cast_is_400(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/add", {"a": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "22P02")


@pytest.mark.parametrize("body", [b"[1]", b'[{"a": 1}, {"b": 1}]', b"{", b"\xff"])
async def test_arguments_that_are_no_object_are_pgrst102(anon: Api, body: bytes) -> None:
    answer = await anon.post("/rest/v1/rpc/add", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null"])
async def test_what_is_neither_object_nor_array_is_no_arguments(anon: Api, body: bytes) -> None:
    assert (await anon.post("/rest/v1/rpc/add", body)).json()["code"] == "PGRST202"
    assert (await anon.post("/rest/v1/rpc/nobody", body)).text == "null"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("P0001", 400),
        ("22023", 400),
        ("23503", 409),
        ("23505", 409),
        ("23514", 400),
        ("42883", 404),
        ("42P01", 404),
        ("42P17", 500),
        ("25006", 405),
        ("40001", 500),
        ("53400", 500),
        ("53100", 503),
        ("54001", 500),
        ("55P03", 500),
        ("57014", 500),
        ("P0002", 500),
        ("XX000", 500),
        ("28000", 403),
        ("0LP01", 403),
        ("21000", 500),
        ("PT404", 404),
        ("PT418", 418),
        ("PTABC", 500),
        ("ABCDE", 400),
    ],
)
async def test_an_error_of_the_function_has_the_status_of_its_sqlstate(anon: Api, state: str, status: int) -> None:
    answer = await anon.post("/rest/v1/rpc/fails", {"state": state, "message": "as raised"})
    assert answer.status_code == status
    assert answer.json() == {"code": state, "details": "the detail", "hint": "the hint", "message": "as raised"}
    assert answer.headers["proxy-status"] == f"PostgREST; error={state}"


async def test_forbidden_is_401_for_anon_and_403_for_who_is_signed_in(anon: Api, api: Api, service: Api) -> None:
    body = {"state": "42501", "message": "no"}
    answers = [await each.post("/rest/v1/rpc/fails", body) for each in (anon, api, service)]
    assert [each.status_code for each in answers] == [401, 403, 403]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in answers[1].headers


async def test_execute_is_a_right_of_its_own(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/only_members", {})
    assert (answer.status_code, answer.json()["code"]) == (401, "42501")


async def test_a_function_may_write_its_whole_answer(anon: Api) -> None:
    said = {"code": "X1", "message": "mine", "details": None, "hint": "h"}
    how = {"status": 402, "headers": {"X-Mine": "1"}}
    answer = await anon.post("/rest/v1/rpc/own_words", {"p_message": json.dumps(said), "p_detail": json.dumps(how)})
    assert (answer.status_code, answer.json(), answer.headers["x-mine"]) == (402, said, "1")
    broken = await anon.post("/rest/v1/rpc/own_words", {"p_message": "no json", "p_detail": "{}"})
    assert (broken.status_code, broken.json()["code"]) == (500, "PGRST121")


async def test_anon_gets_three_seconds_and_then_57014(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/waits", {"seconds": 4})
    assert answer.status_code == 500
    assert answer.json() == {
        "code": "57014",
        "details": None,
        "hint": None,
        "message": "canceling statement due to statement timeout",
    }


async def test_who_is_signed_in_gets_longer(api: Api) -> None:
    assert (await api.post("/rest/v1/rpc/waits", {"seconds": 3.2})).status_code == 204


async def test_a_stable_function_runs_read_only(anon: Api) -> None:
    answer = await anon.post("/rest/v1/rpc/writes_though_stable", {})
    assert (answer.status_code, answer.json()["code"]) == (405, "25006")
    assert anon.stack.sql("select count(*) from notes where body = 'sneaky'") == [{"count": 0}]


async def test_a_failing_function_leaves_nothing_behind(anon: Api) -> None:
    before = anon.stack.sql("select count(*) from notes")
    await anon.post("/rest/v1/rpc/nothing", {"p": "x", "q": 1})
    assert anon.stack.sql("select count(*) from notes") == before


async def test_the_python_client_calls(client: AsyncClient) -> None:
    assert (await client.rpc("add", {"a": 4}).execute()).data == 14
    assert (await client.rpc("whoami", {}).execute()).data["email"] == "ann@example.com"
    assert (await client.rpc("nothing", {"p": "x"}).execute()).data in ([], None)
