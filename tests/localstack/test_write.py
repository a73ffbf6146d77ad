"""`POST` and `PATCH /rest/v1/<table>` as PostgREST answers them."""

from __future__ import annotations

import pytest
from postgrest import APIError
from supabase import AsyncClient

from tests.localstack.conftest import Api

RETURN = "return=representation"


async def test_an_insert_returns_nothing_unless_asked(api: Api) -> None:
    answer = await api.post("/rest/v1/things", {"n": 10})
    assert (answer.status_code, answer.content) == (201, b"")
    assert api.stack.sql("select owner from things where n = 10") == [{"owner": "ann@example.com"}]


async def test_an_insert_returns_the_selected_columns_when_asked(api: Api) -> None:
    answer = await api.post("/rest/v1/things?select=n,label,amount", {"n": 11, "label": "é\n"}, prefer=RETURN)
    assert (answer.status_code, answer.json()) == (201, [{"n": 11, "label": "é\n", "amount": 1.1}])
    assert answer.headers["preference-applied"] == RETURN


async def test_many_rows_go_in_one_statement(api: Api) -> None:
    rows = [{"n": 20, "tags": ["x", 'y"']}, {"n": 21, "tags": None}]
    answer = await api.post("/rest/v1/things?select=n,tags", rows, prefer=RETURN)
    assert answer.json() == rows
    taken = await api.post("/rest/v1/things", [{"n": 22}, {"n": 20}])
    assert taken.status_code == 409
    assert api.stack.sql("select n from things where n = 22") == []


async def test_an_empty_list_inserts_nothing(api: Api) -> None:
    answer = await api.post("/rest/v1/things?select=n", [], prefer=RETURN)
    assert (answer.status_code, answer.json()) == (201, [])


async def test_an_empty_object_inserts_a_row_of_defaults(service: Api) -> None:
    answer = await service.post("/rest/v1/notes?select=body", {}, prefer=RETURN)
    assert (answer.status_code, answer.json()) == (201, [{"body": "empty"}])


async def test_columns_choose_what_is_taken(api: Api) -> None:
    row = {"n": 30, "label": "kept", "owner": "bob@example.com"}
    answer = await api.post("/rest/v1/things?columns=n,label&select=n,label,owner", row, prefer=RETURN)
    assert answer.json() == [{"n": 30, "label": "kept", "owner": "ann@example.com"}]


async def test_rows_with_unlike_keys_are_refused_unless_columns_are_named(api: Api) -> None:
    rows = [{"n": 31}, {"n": 32, "label": "x"}]
    refused = await api.post("/rest/v1/things", rows)
    assert (refused.status_code, refused.json()["code"]) == (400, "PGRST102")
    assert refused.json()["message"] == "All object keys must match"
    assert (await api.post("/rest/v1/things?columns=n,label", rows)).status_code == 201


async def test_who_may_write_but_not_read_inserts_without_a_representation(anon: Api) -> None:
    assert (await anon.post("/rest/v1/notes", {"body": "hello"})).status_code == 201
    refused = await anon.post("/rest/v1/notes", {"body": "hello"}, prefer=RETURN)
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")
    assert anon.stack.sql("select count(*) from notes where body = 'hello'") == [{"count": 1}]


async def test_rls_refuses_a_row_for_somebody_else(api: Api) -> None:
    answer = await api.post("/rest/v1/things", {"n": 40, "owner": "bob@example.com"})
    assert answer.status_code == 403
    assert answer.json() == {
        "code": "42501",
        "details": None,
        "hint": None,
        "message": 'new row violates row-level security policy for table "things"',
    }


async def test_a_taken_key_is_409_with_postgres_own_details(api: Api, service: Api) -> None:
    # Under RLS Postgres does not say which value it was.
    assert (await api.post("/rest/v1/things", {"n": 3})).json()["details"] is None
    answer = await service.post("/rest/v1/things", {"n": 1, "owner": "x"})
    assert answer.status_code == 409
    assert answer.json() == {
        "code": "23505",
        "details": "Key (n)=(1) already exists.",
        "hint": None,
        "message": 'duplicate key value violates unique constraint "things_n_key"',
    }


async def test_a_value_of_the_wrong_type_is_400(api: Api) -> None:
    answer = await api.post("/rest/v1/things", {"n": "ten"})
    assert (answer.status_code, answer.json()["code"]) == (400, "22P02")


async def test_an_unknown_column_is_pgrst204(api: Api) -> None:
    for answer in (
        await api.post("/rest/v1/things", {"nope": 1}),
        await api.post("/rest/v1/things?columns=nope", {"n": 1}),
        await api.patch("/rest/v1/things?n=eq.1", {"nope": 1}),
    ):
        assert answer.status_code == 400
        assert answer.json() == {
            "code": "PGRST204",
            "details": None,
            "hint": None,
            "message": "Could not find the 'nope' column of 'things' in the schema cache",
        }


async def test_an_update_touches_the_filtered_rows_that_rls_lets_through(api: Api) -> None:
    answer = await api.patch("/rest/v1/things?n=gte.2&select=n,label", {"label": "changed"}, prefer=RETURN)
    assert (answer.status_code, answer.json()) == (200, [{"n": 2, "label": "changed"}])
    assert api.stack.sql("select label from things where n = 3") == [{"label": None}]


async def test_an_update_without_representation_is_204(api: Api) -> None:
    answer = await api.patch("/rest/v1/things?n=eq.1", {"label": "x", "facts": {"a": [1, None]}})
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.stack.sql("select facts from things where n = 1") == [{"facts": {"a": [1, None]}}]


async def test_an_update_of_nothing_changes_nothing(api: Api) -> None:
    answer = await api.patch("/rest/v1/things?n=eq.1&select=n", {}, prefer=RETURN)
    assert (answer.status_code, answer.json()) == (200, [])


async def test_an_update_without_a_filter_is_refused_as_hosted_does(service: Api) -> None:
    answer = await service.patch("/rest/v1/things", {"label": "all"})
    assert (answer.status_code, answer.json()["code"]) == (400, "21000")
    assert answer.json()["message"] == "UPDATE requires a WHERE clause"


async def test_a_single_object_that_is_not_single_rolls_the_write_back(service: Api) -> None:
    wish = {"prefer": RETURN, "accept": "application/vnd.pgrst.object+json"}
    answer = await service.patch("/rest/v1/things?n=lt.3&select=n", {"label": "both"}, **wish)
    assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
    assert service.stack.sql("select n from things where label = 'both'") == []
    one = await service.patch("/rest/v1/things?n=eq.3&select=label", {"label": "one"}, **wish)
    assert (one.status_code, one.json()) == (200, {"label": "one"})


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b"\xff", b"[1]", b'{"n": NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_row_is_pgrst102(api: Api, body: bytes) -> None:
    answer = await api.post("/rest/v1/things", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST102")


async def test_nul_in_a_text_is_a_clear_400(api: Api) -> None:
    answer = await api.post("/rest/v1/things", b'{"label": "a\\u0000b"}')
    assert (answer.status_code, answer.json()["code"]) == (400, "22P05")


async def test_the_python_client_writes(client: AsyncClient) -> None:
    made = await client.table("things").insert({"n": 50, "label": "py"}).select("n,label").execute()
    assert made.data == [{"n": 50, "label": "py"}]
    changed = await client.table("things").update({"label": "changed"}).eq("n", 50).select("n,label").execute()
    assert changed.data == [{"n": 50, "label": "changed"}]


async def test_the_python_client_sees_postgrests_error(client: AsyncClient) -> None:
    with pytest.raises(APIError) as caught:
        await client.table("things").insert([{"n": 1}]).select("n").execute()
    assert (caught.value.code, caught.value.details) == ("23505", None)
