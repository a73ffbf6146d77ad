"""Insert, upsert, update and delete with every preference, as PostgREST's documentation has them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localstack.conftest import Api

FULL = "return=representation"
OBJECT = "application/vnd.pgrst.object+json"
STOCK = "/rest/v1/stock"


async def skus(api: Api) -> list[Any]:
    return [tuple(row.values()) for row in api.stack.sql("select sku, count from stock order by id")]


async def test_return_headers_only_tells_where_the_row_is(service: Api) -> None:
    answer = await service.post(STOCK, {"sku": "d"}, prefer="return=headers-only")
    assert (answer.status_code, answer.content, answer.headers["location"]) == (201, b"", "/stock?id=eq.4")
    assert answer.headers["preference-applied"] == "return=headers-only"
    several = await service.post(STOCK, [{"sku": "e"}, {"sku": "f"}], prefer="return=headers-only")
    assert (several.status_code, "location" in several.headers) == (201, False)
    two = await service.post("/rest/v1/roles", {"film_id": 4, "actor_id": 1}, prefer="return=headers-only")
    assert two.headers["location"] == "/roles?film_id=eq.4&actor_id=eq.1"


async def test_missing_default_fills_in_what_the_database_would(service: Api) -> None:
    rows = [{"sku": "x", "count": 1}, {"sku": "y"}, {"sku": "z", "count": None}]
    plain = await service.post(f"{STOCK}?columns=sku,count", rows[:2])
    assert (plain.status_code, plain.json()["code"]) == (400, "23502")
    filled = await service.post(
        f"{STOCK}?columns=id,sku,count,note&select=sku,count,note", rows[:2], prefer=f"missing=default, {FULL}"
    )
    assert filled.json() == [{"sku": "x", "count": 1, "note": "none"}, {"sku": "y", "count": 7, "note": "none"}]
    assert filled.headers["preference-applied"] == f"missing=default, {FULL}"
    one = await service.post(f"{STOCK}?columns=sku,count&select=count", {"sku": "w"}, prefer=f"missing=default, {FULL}")
    assert one.json() == [{"count": 7}]


async def test_an_upsert_merges_on_the_primary_key(service: Api) -> None:
    rows = [{"id": 1, "sku": "a", "count": 100}, {"id": 9, "sku": "new", "count": 2}]
    answer = await service.post(f"{STOCK}?select=id,count&order=id", rows, prefer=f"resolution=merge-duplicates,{FULL}")
    assert (answer.status_code, answer.json()) == (201, [{"id": 1, "count": 100}, {"id": 9, "count": 2}])
    assert answer.headers["preference-applied"] == f"resolution=merge-duplicates, {FULL}"


async def test_an_upsert_that_creates_nothing_is_200(service: Api) -> None:
    answer = await service.post(
        STOCK, [{"id": 1, "count": 5}, {"id": 2, "count": 6}], prefer="resolution=merge-duplicates"
    )
    assert answer.status_code == 200
    assert await skus(service) == [("a", 5), ("b", 6), ("c", 30)]
    created = await service.post(STOCK, {"id": 50, "count": 5}, prefer="resolution=merge-duplicates")
    assert created.status_code == 201


async def test_on_conflict_names_another_unique_key(service: Api) -> None:
    answer = await service.post(
        f"{STOCK}?on_conflict=sku&select=id,count",
        {"sku": "b", "count": 21},
        prefer=f"resolution=merge-duplicates,{FULL}",
    )
    assert answer.json() == [{"id": 2, "count": 21}]
    wrong = await service.post(f"{STOCK}?on_conflict=note", {"sku": "b"}, prefer="resolution=merge-duplicates")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "42P10")
    unknown = await service.post(f"{STOCK}?on_conflict=nope", {"sku": "b"}, prefer="resolution=merge-duplicates")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "42703")


async def test_ignored_duplicates_stay_as_they_are(service: Api) -> None:
    rows = [{"id": 1, "count": 100}, {"id": 9, "count": 2}]
    answer = await service.post(f"{STOCK}?select=id", rows, prefer=f"resolution=ignore-duplicates,{FULL}")
    assert (answer.status_code, answer.json()) == (201, [{"id": 9}])
    assert (await skus(service))[0] == ("a", 1)


async def test_a_duplicate_without_a_resolution_is_409(service: Api) -> None:
    answer = await service.post(STOCK, {"sku": "a"})
    assert (answer.status_code, answer.json()["code"]) == (409, "23505")
    missing = await service.post("/rest/v1/films", {"id": 60, "title": "x", "director_id": 77})
    assert (missing.status_code, missing.json()["code"]) == (409, "23503")
    assert missing.json()["details"] == 'Key (director_id)=(77) is not present in table "directors".'


async def test_csv_and_forms_are_inserted_too(service: Api) -> None:
    answer = await service.post(STOCK, b'sku,note\r\np,NULL\nq,"a, ""b"""\n', content_type="text/csv")
    assert answer.status_code == 201
    assert service.stack.sql("select sku, note from stock where sku in ('p', 'q') order by sku") == [
        {"sku": "p", "note": None},
        {"sku": "q", "note": 'a, "b"'},
    ]
    form = await service.post(STOCK, b"sku=r&count=4", content_type="application/x-www-form-urlencoded")
    assert form.status_code == 201
    assert (await skus(service))[-1] == ("r", 4)


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"sku,note\n1", "text/csv", "All lines must have same number of fields"),
        (b"", "application/json", "Empty or invalid json"),
        (b'[{"sku": "x"}, {"note": "y"}]', "application/json", "All object keys must match"),
        (b"x", "image/png", "Content-Type not acceptable: image/png"),
    ],
)
async def test_a_body_that_cannot_be_read_is_pgrst102(
    service: Api, body: bytes, content_type: str, message: str
) -> None:
    answer = await service.post(STOCK, body, content_type=content_type)
    assert answer.status_code == 400
    assert answer.json() == {"code": "PGRST102", "details": None, "hint": None, "message": message}


async def test_an_update_answers_with_rows_range_and_count(service: Api) -> None:
    answer = await service.patch(f"{STOCK}?count=gt.10&select=sku", {"note": "many"}, prefer=f"{FULL}, count=exact")
    assert (answer.status_code, answer.headers["content-range"]) == (200, "0-1/2")
    assert sorted(row["sku"] for row in answer.json()) == ["b", "c"]
    minimal = await service.patch(f"{STOCK}?sku=eq.a", {"note": "x"}, prefer="return=minimal")
    assert (minimal.status_code, minimal.content, minimal.headers["content-range"]) == (204, b"", "0-0/*")
    assert "content-type" not in minimal.headers
    none = await service.patch(f"{STOCK}?sku=eq.zz", {"note": "x"}, prefer="count=exact")
    assert (none.status_code, none.headers["content-range"]) == (204, "*/0")


async def test_an_update_may_name_columns_and_filter_by_logic(service: Api) -> None:
    body = {"note": "kept", "count": 99}
    answer = await service.patch(f"{STOCK}?columns=note&or=(sku.eq.a,sku.eq.b)&select=count,note", body, prefer=FULL)
    assert sorted(row["count"] for row in answer.json()) == [1, 20]
    assert {row["note"] for row in answer.json()} == {"kept"}


async def test_a_delete_answers_like_an_update(service: Api) -> None:
    answer = await service.call("DELETE", f"{STOCK}?count=lt.25&select=sku&order=sku", prefer=f"{FULL}, count=exact")
    assert (answer.status_code, answer.headers["content-range"]) == (200, "*/2")
    assert sorted(row["sku"] for row in answer.json()) == ["a", "b"]
    minimal = await service.call("DELETE", f"{STOCK}?sku=eq.c")
    assert (minimal.status_code, minimal.content, minimal.headers["content-range"]) == (204, b"", "*/*")
    assert await skus(service) == []


async def test_a_delete_without_a_filter_is_refused_as_hosted_does(service: Api) -> None:
    answer = await service.call("DELETE", STOCK)
    assert (answer.status_code, answer.json()["code"]) == (400, "21000")
    assert answer.json()["message"] == "DELETE requires a WHERE clause"


async def test_singular_writes_are_undone_unless_one_row_changed(service: Api) -> None:
    many = await service.call("DELETE", f"{STOCK}?count=gt.10", prefer=FULL, accept=OBJECT)
    assert (many.status_code, many.json()["code"]) == (406, "PGRST116")
    assert len(await skus(service)) == 3
    one = await service.call("DELETE", f"{STOCK}?sku=eq.b&select=sku", prefer=FULL, accept=OBJECT)
    assert (one.status_code, one.json()) == (200, {"sku": "b"})
    made = await service.post(f"{STOCK}?select=sku", {"sku": "n"}, prefer=FULL, accept=OBJECT)
    assert (made.status_code, made.text) == (201, '{"sku":"n"}')


async def test_max_affected_undoes_a_write_that_touches_more(service: Api) -> None:
    limit = "handling=strict, max-affected=1"
    answer = await service.call("DELETE", f"{STOCK}?count=gt.10", prefer=limit)
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "PGRST124",
        "details": "The query affects 2 rows",
        "hint": None,
        "message": "Query result exceeds max-affected preference constraint",
    }
    assert len(await skus(service)) == 3
    fits = await service.patch(f"{STOCK}?sku=eq.a", {"count": 2}, prefer=limit)
    assert (fits.status_code, fits.headers["preference-applied"]) == (204, "handling=strict, max-affected=1")
    lenient = await service.patch(f"{STOCK}?count=gt.10", {"note": "x"}, prefer="max-affected=1")
    assert (lenient.status_code, "preference-applied" in lenient.headers) == (204, False)
    function = await service.post("/rest/v1/rpc/delete_stock", {"above": 10}, prefer=limit)
    assert (function.status_code, function.json()["code"]) == (400, "PGRST124")
    assert len(await skus(service)) == 3
    scalar = await service.post("/rest/v1/rpc/zone", {}, prefer=limit)
    assert (scalar.status_code, scalar.json()["code"]) == (400, "PGRST128")


async def test_strict_handling_names_the_preferences_it_does_not_know(service: Api) -> None:
    answer = await service.post(STOCK, {"sku": "n"}, prefer="handling=strict, anything, timezone=Mars/Base")
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "PGRST122",
        "details": "Invalid preferences: anything, timezone=Mars/Base",
        "hint": None,
        "message": "Invalid preferences given with handling=strict",
    }
    lenient = await service.post(
        STOCK, {"sku": "n"}, prefer="handling=lenient, anything, return=minimal, return=representation"
    )
    assert (lenient.status_code, lenient.content) == (201, b"")
    assert lenient.headers["preference-applied"] == "return=minimal, handling=lenient"


async def test_several_prefer_headers_are_one_list(service: Api) -> None:
    headers = [("apikey", service.key), ("authorization", f"Bearer {service.key}")]
    headers += [("prefer", "count=exact"), ("prefer", FULL), ("content-type", "application/json")]
    answer = await service.http.post(f"{STOCK}?select=sku", json={"sku": "n"}, headers=headers)
    assert (answer.json(), answer.headers["content-range"]) == ([{"sku": "n"}], "*/1")
    assert answer.headers["preference-applied"] == f"{FULL}, count=exact"


async def test_a_transaction_cannot_be_ended_by_a_preference_as_on_hosted_projects(service: Api) -> None:
    answer = await service.post(STOCK, {"sku": "n"}, prefer="tx=rollback")
    assert (answer.status_code, "preference-applied" in answer.headers) == (201, False)
    assert ("n", 7) in await skus(service)


async def test_who_may_insert_but_not_read_gets_no_representation(anon: Api) -> None:
    assert (await anon.post(STOCK, {"sku": "q"})).status_code == 201
    for how in (FULL, "return=headers-only"):
        refused = await anon.post(STOCK, {"sku": "r"}, prefer=how)
        assert (refused.status_code, refused.json()["code"]) == (401, "42501")


@pytest.mark.parametrize(
    ("row", "code"),
    [({"total": 4}, "428C9"), ({"level": 9}, "23514"), ({"count": "x"}, "22P02"), ({"count": None}, "23502")],
)
async def test_what_postgres_refuses_is_passed_on(service: Api, row: dict[str, object], code: str) -> None:
    answer = await service.post(STOCK, row)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_options_says_what_is_allowed(service: Api) -> None:
    answer = await service.call("OPTIONS", STOCK)
    assert (answer.status_code, answer.headers["allow"]) == (200, "OPTIONS,GET,HEAD,POST,PATCH,DELETE")
