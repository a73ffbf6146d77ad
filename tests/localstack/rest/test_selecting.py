"""Vertical filtering: columns, aliases, casts, JSON, and the shapes an answer may have."""

from __future__ import annotations

import pytest

from tests.localstack.conftest import Api
from tests.localstack.rest.conftest import Films

OBJECT = "application/vnd.pgrst.object+json"


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("id,title", {"id": 1, "title": "Cléo"}),
        ("n:id, t:title", {"n": 1, "t": "Cléo"}),
        ("year::text", {"year": "1962"}),
        ("y:year::text", {"y": "1962"}),
        ("rating::int", {"rating": 8}),
        ("rating::double precision", {"rating": 7.8}),
        ("year::int8", {"year": 1962}),
        ("made_at::date", {"made_at": "2026-01-02"}),
        ("info->n", {"n": 1}),
        ("info->>n", {"n": "1"}),
        ("info->a->b", {"b": [10, 20]}),
        ("info->a->b->1", {"b": 20}),
        ("info->a->b->>-1", {"b": "20"}),
        ("x:info->a->b->0", {"x": 10}),
        ("info->n::text", {"n": "1"}),
        ("tags->0", {"tags": "paris"}),
        ("raw->k", {"k": "v"}),
        ('"id","t t":title', {"id": 1, "t t": "Cléo"}),
        ("*,again:id", None),
    ],
)
async def test_select_renames_casts_and_looks_into_json(films: Films, select: str, row: dict[str, object]) -> None:
    found = (await films.rows(f"select={select}&id=eq.1"))[0]
    if row is None:
        assert (found["again"], found["title"]) == (1, "Cléo")
    else:
        assert found == row


async def test_a_type_that_is_not_there_is_42704(films: Films) -> None:
    body = await films.refused("select=id::nope")
    assert (body["status"], body["code"], body["message"]) == (400, "42704", 'type "nope" does not exist')
    assert (await films.refused("select=id::text;drop"))["code"] == "PGRST100"


async def test_an_enum_or_domain_of_the_schema_can_be_cast_to(films: Films) -> None:
    assert await films.rows("select=id::grade&id=eq.1") == [{"id": 1}]
    assert (await films.refused("select=year::grade&id=eq.1"))["code"] == "23514"


@pytest.mark.parametrize("select", ["rating.sum()", "count()", "n:rating.avg()", "id.max()::text"])
async def test_aggregates_are_switched_off_as_on_hosted_projects(films: Films, select: str) -> None:
    body = await films.refused(f"select={select}")
    assert (body["status"], body["code"]) == (400, "PGRST123")
    assert body["message"] == "Use of aggregate functions is not allowed"


async def test_csv_has_a_header_and_a_line_per_row(service: Api) -> None:
    answer = await service.get("/rest/v1/films?select=id,title,year&order=id", accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = answer.text.split("\n")
    assert lines[:2] == ["id,title,year", "1,Cléo,1962"]
    assert lines[5] == '5,"Lost, ""quoted""",1990'
    empty = await service.get("/rest/v1/films?select=id&id=eq.99", accept="text/csv")
    assert empty.text == "\n"


async def test_nulls_stripped_leaves_keys_out(service: Api) -> None:
    array = await service.get(
        "/rest/v1/films?select=id,year&id=eq.4", accept="application/vnd.pgrst.array+json;nulls=stripped"
    )
    assert (array.text, array.headers["content-type"]) == (
        '[{"id":4}]',
        "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
    )
    one = await service.get("/rest/v1/films?select=id,year&id=eq.4", accept=f"{OBJECT};nulls=stripped")
    assert (one.text, one.headers["content-type"]) == ('{"id":4}', f"{OBJECT};nulls=stripped; charset=utf-8")


async def test_the_first_acceptable_type_by_quality_is_taken(service: Api) -> None:
    for accept, kind in [
        ("text/csv;q=0.1, application/json", "application/json; charset=utf-8"),
        ("image/png, text/csv", "text/csv; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json; charset=utf-8"),
        (OBJECT, f"{OBJECT}; charset=utf-8"),
    ]:
        answer = await service.get("/rest/v1/films?select=id&id=eq.1", accept=accept)
        assert answer.headers["content-type"] == kind


async def test_a_type_that_is_not_produced_is_pgrst107(service: Api) -> None:
    answer = await service.get("/rest/v1/films", accept="image/png, application/vnd.pgrst.plan+json")
    assert answer.status_code == 406
    assert answer.json() == {
        "code": "PGRST107",
        "details": None,
        "hint": None,
        "message": "None of these media types are available: image/png, application/vnd.pgrst.plan+json",
    }


async def test_another_schema_is_pgrst106(service: Api) -> None:
    for answer in (
        await service.get("/rest/v1/films", accept_profile="auth"),
        await service.post("/rest/v1/stock", {}, content_profile="auth"),
        await service.post("/rest/v1/rpc/years", {}, content_profile="auth"),
    ):
        assert answer.status_code == 406
        assert answer.json() == {
            "code": "PGRST106",
            "details": None,
            "hint": "Only the following schemas are exposed: public",
            "message": "Invalid schema: auth",
        }
    same = await service.get("/rest/v1/films?select=id&id=eq.1", accept_profile="public", content_profile="auth")
    assert (same.json(), same.headers["content-profile"]) == ([{"id": 1}], "public")


async def test_an_unknown_table_gets_the_nearest_as_a_hint(films: Films) -> None:
    body = await films.refused("select=id", "filmz")
    assert (body["status"], body["code"]) == (404, "PGRST205")
    assert body["hint"] == "Perhaps you meant the table 'public.films'"
    assert (await films.refused("", "nothing_like_it"))["hint"] is None


async def test_content_location_is_the_canonical_address(service: Api) -> None:
    answer = await service.get("/rest/v1/films?select=id&id=eq.1")
    assert answer.headers["content-location"] == "/films?id=eq.1&select=id"
