"""Order, limits, the Range header, counts and single objects: PostgREST's pagination rules."""

from __future__ import annotations

import pytest

from tests.localstack.conftest import Api
from tests.localstack.rest.conftest import Films

OBJECT = "application/vnd.pgrst.object+json"


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("year,id", [3, 1, 2, 5, 4]),
        ("year.desc", [4, 5, 2, 1, 3]),
        ("year.desc.nullslast", [5, 2, 1, 3, 4]),
        ("year.nullsfirst", [4, 3, 1, 2, 5]),
        ("director_id.desc.nullslast, year.asc", [5, 3, 2, 1, 4]),
        ("info->n.desc.nullslast,id", [4, 5, 2, 1, 3]),
        ("info->>s.asc.nullslast,id.desc", [1, 5, 4, 3, 2]),
        ("", [1, 2, 3, 4, 5]),
    ],
)
async def test_order_has_directions_and_places_for_nulls(films: Films, order: str, found: list[int]) -> None:
    rows = await films.rows(f"select=id&order={order}")
    assert [row["id"] for row in rows] == found


@pytest.mark.parametrize(
    ("header", "query", "found", "content_range"),
    [
        ("0-1", "", [1, 2], "0-1/*"),
        ("2-", "", [3, 4, 5], "2-4/*"),
        ("1-3", "limit=2", [2], "1-1/*"),
        ("0-9", "offset=3", [4, 5], "3-4/*"),
        ("nonsense", "", [1, 2, 3, 4, 5], "0-4/*"),
    ],
)
async def test_the_range_header_narrows_what_limit_and_offset_leave(
    service: Api, header: str, query: str, found: list[int], content_range: str
) -> None:
    answer = await service.get(f"/rest/v1/films?select=id&order=id&{query}", range=header)
    assert [row["id"] for row in answer.json()] == found
    assert answer.headers["content-range"] == content_range


async def test_a_range_that_ends_before_it_begins_is_pgrst103(service: Api) -> None:
    answer = await service.get("/rest/v1/films", range="5-2")
    assert (answer.status_code, answer.json()["code"]) == (416, "PGRST103")
    assert answer.json()["details"] == (
        "The lower boundary must be lower than or equal to the upper boundary in the Range header."
    )


async def test_an_exact_count_tells_the_total_and_makes_a_part_206(service: Api) -> None:
    part = await service.get("/rest/v1/films?select=id&limit=2&offset=1", prefer="count=exact")
    assert (part.status_code, part.headers["content-range"]) == (206, "1-2/5")
    assert part.headers["preference-applied"] == "count=exact"
    whole = await service.get("/rest/v1/films?select=id&year=gt.1960", prefer="count=exact")
    assert (whole.status_code, whole.headers["content-range"]) == (200, "0-2/3")
    none = await service.get("/rest/v1/films?select=id&id=eq.99", prefer="count=exact")
    assert (none.status_code, none.headers["content-range"], none.json()) == (200, "*/0", [])


async def test_an_offset_beyond_the_total_is_416(service: Api) -> None:
    answer = await service.get("/rest/v1/films?offset=100", prefer="count=exact")
    assert (answer.status_code, answer.headers["content-range"]) == (416, "*/5")
    assert answer.json() == {
        "code": "PGRST103",
        "details": "An offset of 100 was requested, but there are only 5 rows.",
        "hint": None,
        "message": "Requested range not satisfiable",
    }
    uncounted = await service.get("/rest/v1/films?offset=100")
    assert (uncounted.status_code, uncounted.headers["content-range"]) == (200, "*/*")


@pytest.mark.parametrize("count", ["planned", "estimated"])
async def test_the_planner_counts_when_it_is_asked_to(service: Api, count: str) -> None:
    service.stack.sql("analyze numbers; analyze films")
    answer = await service.get("/rest/v1/numbers?limit=10", prefer=f"count={count}")
    assert (answer.status_code, answer.headers["content-range"]) == (206, "0-9/1200")
    few = await service.get("/rest/v1/films?select=id&year=gt.1960", prefer=f"count={count}")
    assert few.headers["content-range"].startswith("0-2/")
    if count == "estimated":
        assert few.headers["content-range"] == "0-2/3"


async def test_a_count_sees_past_max_rows(service: Api) -> None:
    answer = await service.get("/rest/v1/numbers", prefer="count=exact")
    assert (answer.status_code, answer.headers["content-range"]) == (206, "0-999/1200")


async def test_limit_zero_is_an_empty_page(service: Api) -> None:
    answer = await service.get("/rest/v1/films?limit=0", prefer="count=exact")
    assert (answer.status_code, answer.json(), answer.headers["content-range"]) == (206, [], "*/5")


async def test_a_negative_offset_is_postgres_own_error(films: Films) -> None:
    body = await films.refused("offset=-1")
    assert (body["status"], body["code"], body["message"]) == (400, "2201X", "OFFSET must not be negative")


async def test_head_has_the_headers_of_get_and_no_body(service: Api) -> None:
    answer = await service.call("HEAD", "/rest/v1/films?select=id&limit=2", prefer="count=exact")
    assert (answer.status_code, answer.content) == (206, b"")
    assert answer.headers["content-range"] == "0-1/5"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    function = await service.call("HEAD", "/rest/v1/rpc/films_of?year_from=1960", prefer="count=exact")
    assert (function.status_code, function.content, function.headers["content-range"]) == (200, b"", "0-2/3")


async def test_max_rows_holds_for_embedded_resources_too(service: Api) -> None:
    service.stack.sql("insert into films (id, title, director_id) select i, 'n', 1 from generate_series(1000, 2200) i")
    rows = (await service.get("/rest/v1/directors?select=films(id)&id=eq.1")).json()
    assert len(rows[0]["films"]) == 1000


async def test_singular_wants_exactly_one_row(service: Api) -> None:
    one = await service.get("/rest/v1/films?select=id,title&id=eq.1", accept=OBJECT)
    assert (one.status_code, one.text) == (200, '{"id":1,"title":"Cléo"}')
    for query, count in (("id=eq.99", 0), ("id=lt.3", 2)):
        answer = await service.get(f"/rest/v1/films?{query}", accept=OBJECT)
        assert (answer.status_code, answer.json()["code"]) == (406, "PGRST116")
        assert answer.json()["details"] == f"The result contains {count} rows"
