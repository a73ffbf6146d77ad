"""Resource embedding over foreign keys, as PostgREST's documentation has it."""

from __future__ import annotations

import pytest

from tests.localstack.conftest import Api
from tests.localstack.rest.conftest import Films

VARDA = {"last_name": "Varda"}
KUROSAWA = {"last_name": "Kurosawa"}


async def test_many_to_one_is_an_object_or_null(films: Films) -> None:
    rows = await films.rows("select=title,directors(last_name)&order=id&id=lt.5")
    assert [row["directors"] for row in rows] == [VARDA, KUROSAWA, KUROSAWA, None]


async def test_one_to_many_is_an_array_or_an_empty_one(films: Films) -> None:
    rows = await films.rows("select=last_name,films(title)&order=id&id=lt.3", "directors")
    assert rows == [
        {"last_name": "Varda", "films": [{"title": "Cléo"}]},
        {"last_name": "Kurosawa", "films": [{"title": "Ran"}, {"title": "Ikiru"}]},
    ]
    assert await films.rows("select=roles(*)&id=eq.4") == [{"roles": []}]


async def test_one_to_one_is_an_object_from_both_sides(films: Films) -> None:
    assert await films.rows("select=id,technical_specs(runtime)&id=in.(1,3)&order=id") == [
        {"id": 1, "technical_specs": {"runtime": 90}},
        {"id": 3, "technical_specs": None},
    ]
    assert await films.rows("select=runtime,films(title)&film_id=eq.1", "technical_specs") == [
        {"runtime": 90, "films": {"title": "Cléo"}}
    ]


async def test_many_to_many_goes_through_the_junction(films: Films) -> None:
    rows = await films.rows("select=title,actors(last_name)&order=id&id=lt.3")
    assert rows == [
        {"title": "Cléo", "actors": [{"last_name": "Marchand"}]},
        {"title": "Ran", "actors": [{"last_name": "Nakadai"}]},
    ]


async def test_embeds_nest(films: Films) -> None:
    rows = await films.rows("select=last_name,films(title,roles(character,actors(last_name)))&id=eq.1", "directors")
    role = {"character": "Cléo", "actors": {"last_name": "Marchand"}}
    assert rows == [{"last_name": "Varda", "films": [{"title": "Cléo", "roles": [role]}]}]


async def test_an_embed_may_have_an_alias(films: Films) -> None:
    assert await films.rows("select=d:directors(n:last_name)&id=eq.1") == [{"d": {"n": "Varda"}}]


@pytest.mark.parametrize("name", ["directors", "director_id", "films_director_id_fkey", "directors!director_id"])
async def test_an_embed_is_found_by_table_column_and_constraint(films: Films, name: str) -> None:
    assert await films.rows(f"select=d:{name}(last_name)&id=eq.1") == [{"d": VARDA}]


async def test_a_filter_on_an_embed_cuts_the_embed_only(films: Films) -> None:
    query = "select=last_name,films(title)&films.year=gt.1960&order=id&id=lt.3"
    assert await films.rows(query, "directors") == [
        {"last_name": "Varda", "films": [{"title": "Cléo"}]},
        {"last_name": "Kurosawa", "films": [{"title": "Ran"}]},
    ]
    by_alias = await films.rows("select=f:films(title)&f.or=(year.eq.1952,year.eq.1)&id=eq.2", "directors")
    assert by_alias == [{"f": [{"title": "Ikiru"}]}]


async def test_inner_cuts_the_rows_too(films: Films) -> None:
    assert await films.rows("select=id,directors!inner(last_name)&directors.last_name=eq.Varda") == [
        {"id": 1, "directors": VARDA}
    ]
    assert await films.rows("select=id,films!inner(title)&films.year=gt.1980&order=id", "directors") == [
        {"id": 2, "films": [{"title": "Ran"}]},
        {"id": 3, "films": [{"title": 'Lost, "quoted"'}]},
    ]


async def test_null_filters_on_an_embed_are_anti_and_semi_joins(films: Films) -> None:
    assert [row["id"] for row in await films.rows("select=id,directors()&directors=is.null")] == [4]
    with_specs = await films.rows("select=id,technical_specs()&technical_specs=not.is.null&order=id")
    assert with_specs == [{"id": 1}, {"id": 2}]
    without_roles = await films.rows("select=id,roles()&roles=is.null&order=id")
    assert without_roles == [{"id": 4}, {"id": 5}]
    either = "select=id,directors(),roles()&or=(directors.is.null,roles.is.null)&order=id"
    assert [row["id"] for row in await films.rows(either)] == [4, 5]


async def test_an_embed_has_its_own_order_limit_and_offset(films: Films) -> None:
    query = "select=films(title)&id=eq.2&films.order=year.desc"
    assert await films.rows(query, "directors") == [{"films": [{"title": "Ran"}, {"title": "Ikiru"}]}]
    assert await films.rows(f"{query}&films.limit=1&films.offset=1", "directors") == [{"films": [{"title": "Ikiru"}]}]


async def test_rows_are_ordered_by_a_to_one_embed(films: Films) -> None:
    query = "select=id,directors(first_name)&order=directors(last_name).desc.nullslast,id.desc"
    assert [row["id"] for row in await films.rows(query)] == [1, 5, 3, 2, 4]
    body = await films.refused("select=id,films(id)&order=films(id)", "directors")
    assert (body["code"], body["message"]) == ("PGRST118", "A related order on 'films' is not possible")
    assert body["details"] == "'directors' and 'films' do not form a many-to-one or one-to-one relationship"


async def test_a_spread_embed_lifts_its_columns(films: Films) -> None:
    rows = await films.rows("select=title,...directors(director:last_name,first_name)&id=eq.1")
    assert rows == [{"title": "Cléo", "director": "Varda", "first_name": "Agnès"}]
    everything = await films.rows("select=id,...technical_specs(*)&id=eq.1")
    assert everything == [{"id": 1, "film_id": 1, "runtime": 90, "camera": "Cameflex"}]


async def test_several_relationships_are_pgrst201_until_a_hint_chooses(films: Films) -> None:
    body = await films.refused("select=*,addresses(*)", "orders")
    assert (body["status"], body["code"]) == (300, "PGRST201")
    assert body["message"] == (
        "Could not embed because more than one relationship was found for 'orders' and 'addresses'"
    )
    assert body["hint"] == (
        "Try changing 'addresses' to one of the following: 'addresses!orders_billing', 'addresses!orders_shipping'. "
        "Find the desired relationship in the 'details' key."
    )
    assert body["details"][0] == {
        "cardinality": "many-to-one",
        "embedding": "orders with addresses",
        "relationship": "orders_billing using orders(billing_address_id) and addresses(id)",
    }
    query = "select=name,billing:addresses!orders_billing(name),shipping:addresses!shipping_address_id(name)&id=eq.1"
    assert await films.rows(query, "orders") == [
        {"name": "first", "billing": {"name": "here"}, "shipping": {"name": "there"}}
    ]


async def test_no_relationship_is_pgrst200(films: Films) -> None:
    body = await films.refused("select=*,films(*)", "orders")
    assert body == {
        "status": 400,
        "code": "PGRST200",
        "details": "Searched for a foreign key relationship between 'orders' and 'films' in the schema 'public', "
        "but no matches were found.",
        "hint": None,
        "message": "Could not find a relationship between 'orders' and 'films' in the schema cache",
    }
    assert (await films.refused("select=director(*)"))["hint"] == "Perhaps you meant 'directors' instead of 'director'."
    hinted = await films.refused("select=directors!nope(*)")
    assert "using the hint 'nope'" in hinted["details"]


async def test_recursive_relationships_take_the_column_or_the_table(films: Films) -> None:
    up = await films.rows("select=name,boss:manager_id(name)&id=eq.2", "employees")
    assert up == [{"name": "worker", "boss": {"name": "boss"}}]
    down = await films.rows("select=name,employees(name)&id=eq.1&employees.order=id", "employees")
    assert down == [{"name": "boss", "employees": [{"name": "worker"}, {"name": "other"}]}]


@pytest.mark.parametrize("query", ["directors.id=eq.1", "directors.order=id", "directors.limit=1", "nope.or=(id.eq.1)"])
async def test_what_is_said_of_a_resource_that_is_not_embedded_is_pgrst108(films: Films, query: str) -> None:
    name = query.partition(".")[0]
    assert await films.refused(f"select=id&{query}") == {
        "status": 400,
        "code": "PGRST108",
        "details": None,
        "hint": f"Verify that '{name}' is included in the 'select' query parameter.",
        "message": f"'{name}' is not an embedded resource in this request",
    }


async def test_rls_hides_embedded_rows(anon: Api) -> None:
    answer = await anon.get("/rest/v1/films?select=id,directors(last_name)&id=eq.5")
    assert answer.json() == [{"id": 5, "directors": None}]
    inner = await anon.get("/rest/v1/films?select=id,directors!inner(last_name)&id=eq.5")
    assert inner.json() == []


async def test_what_the_role_may_not_read_cannot_be_embedded(anon: Api) -> None:
    anon.stack.sql("revoke select on technical_specs from anon")
    try:
        answer = await anon.get("/rest/v1/films?select=id,technical_specs(runtime)")
        assert (answer.status_code, answer.json()["code"]) == (401, "42501")
    finally:
        anon.stack.sql("grant select on technical_specs to anon")


async def test_counts_regard_inner_embeds(service: Api) -> None:
    query = "/rest/v1/films?select=id,directors!inner(id)&directors.id=eq.2"
    answer = await service.get(query, prefer="count=exact")
    assert answer.headers["content-range"] == "0-1/2"
    left = await service.get("/rest/v1/films?select=id,directors(id)&directors.id=eq.2", prefer="count=exact")
    assert left.headers["content-range"] == "0-4/5"


async def test_embedding_works_on_what_a_write_returns(service: Api) -> None:
    answer = await service.post(
        "/rest/v1/films?select=title,directors(last_name)",
        {"id": 50, "title": "New", "director_id": 1},
        prefer="return=representation",
    )
    assert (answer.status_code, answer.json()) == (201, [{"title": "New", "directors": VARDA}])
    updated = await service.patch(
        "/rest/v1/directors?id=eq.2&select=last_name,films(title)&films.year=eq.1985",
        {"first_name": "A."},
        prefer="return=representation",
    )
    assert updated.json() == [{"last_name": "Kurosawa", "films": [{"title": "Ran"}]}]
