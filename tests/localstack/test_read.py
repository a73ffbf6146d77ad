"""`GET /rest/v1/<table>` as PostgREST answers it."""

from __future__ import annotations

import pytest
from supabase import AsyncClient

from tests.localstack.conftest import Api


async def labels(api: Api, query: str) -> list[int]:
    answer = await api.get(f"/rest/v1/things?select=n&{query}")
    assert answer.status_code == 200, answer.text
    return [row["n"] for row in answer.json()]


async def test_select_without_columns_returns_all_of_them(service: Api) -> None:
    row = (await service.get("/rest/v1/things?n=eq.1")).json()[0]
    assert set(row) == {"id", "owner", "n", "label", "big", "amount", "at", "tags", "facts", "secret"}


async def test_types_look_as_postgrest_makes_them(service: Api) -> None:
    answer = await service.get("/rest/v1/things?select=big,amount,at,tags,facts,label&n=eq.1")
    assert answer.text == (
        '[{"big":1152921504606846976,"amount":1.10,"at":"2026-03-01T11:00:00+00:00",'
        '"tags":["a","b"],"facts":{"k": 1},"label":"one"}]'
    )
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_rls_decides_which_rows_a_user_sees(api: Api, anon: Api, service: Api) -> None:
    assert await labels(api, "order=n") == [1, 2]
    assert await labels(service, "order=n") == [1, 2, 3]
    refused = await anon.get("/rest/v1/things")
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")


async def test_a_column_without_a_grant_is_forbidden_by_itself_and_in_star(api: Api) -> None:
    for select in ("secret", "*"):
        answer = await api.get(f"/rest/v1/things?select={select}")
        assert (answer.status_code, answer.json()["code"]) == (403, "42501")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("n=eq.2", [2]),
        ("n=neq.2", [1, 3]),
        ("n=gt.1", [2, 3]),
        ("n=gte.2", [2, 3]),
        ("n=lt.2", [1]),
        ("n=lte.2", [1, 2]),
        ("n=in.(1,3)", [1, 3]),
        ("n=in.()", []),
        ("n=not.in.(1,3)", [2]),
        ("n=not.eq.1", [2, 3]),
        ("label=is.null", [3]),
        ("label=not.is.null", [1, 2]),
        ("label=is.not_null", [1, 2]),
        ('label=in.("two, \\"quoted\\"",one)', [1, 2]),
        ('label=eq.two, "quoted"', [2]),
        ("n=gte.1&n=lt.3", [1, 2]),
        ("at=eq.2026-03-01T11:00:00Z", [1, 2, 3]),
        ("owner=eq.bob@example.com", [3]),
        ('"n"=eq.1', [1]),
    ],
)
async def test_filters(service: Api, query: str, found: list[int]) -> None:
    assert await labels(service, f"{query}&order=n") == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("n", [1, 2, 3]),
        ("n.desc", [3, 2, 1]),
        ("label.desc", [3, 2, 1]),
        ("label.desc.nullslast", [2, 1, 3]),
        ("label.nullsfirst", [3, 1, 2]),
        ("label.asc.nullsfirst", [3, 1, 2]),
        ("owner.desc,n.desc", [3, 2, 1]),
        ("owner, n.desc", [2, 1, 3]),
    ],
)
async def test_order(service: Api, order: str, found: list[int]) -> None:
    assert await labels(service, f"order={order}") == found


async def test_limit_and_offset_cut_a_page_and_content_range_tells_which(service: Api) -> None:
    answer = await service.get("/rest/v1/things?select=n&order=n&limit=2&offset=1")
    assert [row["n"] for row in answer.json()] == [2, 3]
    assert answer.headers["content-range"] == "1-2/*"
    empty = await service.get("/rest/v1/things?n=eq.99")
    assert (empty.text, empty.headers["content-range"]) == ("[]", "*/*")


@pytest.mark.parametrize("limit", ["abc", "", "1e3"])
async def test_a_limit_that_is_no_number_is_ignored(service: Api, limit: str) -> None:
    assert await labels(service, f"limit={limit}&order=n") == [1, 2, 3]


async def test_a_negative_limit_is_not_satisfiable(service: Api) -> None:
    answer = await service.get("/rest/v1/things?limit=-1")
    assert answer.status_code == 416
    assert answer.json() == {
        "code": "PGRST103",
        "details": "Limit should be greater than or equal to zero.",
        "hint": None,
        "message": "Requested range not satisfiable",
    }


@pytest.mark.parametrize("limit", ["", "limit=5000"])
async def test_a_thousand_rows_are_the_most_there_is(service: Api, limit: str) -> None:
    assert len((await service.get(f"/rest/v1/numbers?{limit}")).json()) == 1000


async def test_one_object_comes_bare_when_asked_for(service: Api) -> None:
    answer = await service.get("/rest/v1/things?select=n,label&n=eq.1", accept="application/vnd.pgrst.object+json")
    assert answer.text == '{"n":1,"label":"one"}'
    assert answer.headers["content-type"] == "application/vnd.pgrst.object+json; charset=utf-8"


@pytest.mark.parametrize(("query", "count"), [("n=eq.99", 0), ("n=lt.3", 2)])
async def test_one_object_of_none_or_many_is_406(service: Api, query: str, count: int) -> None:
    answer = await service.get(f"/rest/v1/things?{query}", accept="application/vnd.pgrst.object+json")
    assert answer.status_code == 406
    assert answer.json() == {
        "code": "PGRST116",
        "details": f"The result contains {count} rows",
        "hint": None,
        "message": "Cannot coerce the result to a single JSON object",
    }


async def test_odd_identifiers_are_quoted(service: Api) -> None:
    service.stack.sql('insert into "odd ""name" values (1, %s) on conflict do nothing', "it's")
    answer = await service.get('/rest/v1/odd%20%22name?select="we\\"ird col"&"we\\"ird col"=eq.it\'s')
    assert answer.json() == [{'we"ird col': "it's"}]


async def test_the_python_client_reads(client: AsyncClient) -> None:
    page = await client.table("things").select("n,label").in_("n", [1, 2]).order("n", desc=True).limit(1).execute()
    assert page.data == [{"n": 2, "label": 'two, "quoted"'}]
    one = await client.table("things").select("n").eq("n", 1).single().execute()
    assert one.data == {"n": 1}
    none = await client.table("things").select("n").eq("n", 3).maybe_single().execute()
    assert none is None
    ranged = await client.table("things").select("n").gte("n", 1).lt("n", 9).order("n").range(1, 5).execute()
    assert [row["n"] for row in ranged.data] == [2]
