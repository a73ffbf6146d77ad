"""What is not served is refused as such, and nothing that a caller writes gets into the SQL."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.localstack.refusal import Refusal
from agent.localstack.rest.parameters import parse_query
from agent.localstack.rest.syntax import Filter
from tests.localstack.conftest import Api


async def test_what_postgrest_has_and_this_stack_has_not_is_501(service: Api) -> None:
    deep = "a(" * 30 + ")" * 30
    for query in (f"select={deep}", "or=" + "(and" * 30, "select=" + "x" * 70 + ":n", "select=n::regclass"):
        answer = await service.get(f"/rest/v1/things?{query}")
        assert answer.status_code == 501, answer.text
        assert answer.json()["code"] == "PGRST_LOCAL"
        assert answer.json()["message"].startswith("not implemented by the local stack: ")
    put = await service.call("PUT", "/rest/v1/things?id=eq.1", {"n": 99})
    geo = await service.get("/rest/v1/things", accept="application/geo+json")
    assert [put.status_code, geo.status_code] == [501, 501]
    assert service.stack.sql("select count(*) from things") == [{"count": 3}]


@pytest.mark.parametrize("path", ["/rest/v1/", "/rest/v1/rpc/", "/storage/v1/bucket", "/graphql/v1", "/functions/v1/x"])
async def test_other_products_too(service: Api, path: str) -> None:
    answer = await service.get(path)
    assert (answer.status_code, answer.json()["code"]) == (501, "PGRST_LOCAL")


UNPARSABLE = ["n=1", "n=", "n=nope.1", "n=eq", "n=is.maybe", "n=in.1,2", "n=in.(1,2", "n=in.(1)2)", "select=a b;"]
UNPARSABLE += ["order=n.up", "order=n.asc.up", "order=n.desc.nullsfirst.x", "select=%22n", ";=eq.1", "order=;"]


@pytest.mark.parametrize("query", UNPARSABLE)
async def test_what_postgrest_cannot_parse_is_pgrst100(service: Api, query: str) -> None:
    answer = await service.get(f"/rest/v1/things?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST100"), answer.text


async def test_an_unknown_table_column_path_and_schema(service: Api) -> None:
    table = await service.get("/rest/v1/nope")
    assert (table.status_code, table.json()["code"]) == (404, "PGRST205")
    assert table.json()["message"] == "Could not find the table 'public.nope' in the schema cache"
    for query in ("select=nope", "nope=eq.1", "order=nope", "select=xmin", "ctid=eq.(0,1)"):
        column = await service.get(f"/rest/v1/things?{query}")
        assert (column.status_code, column.json()["code"]) == (400, "42703")
    path = await service.get("/rest/v1/things/1")
    assert (path.status_code, path.json()["code"]) == (404, "PGRST125")
    schema = await service.get("/rest/v1/users", accept_profile="auth")
    assert (schema.status_code, schema.json()["code"]) == (406, "PGRST106")


async def test_tables_outside_of_public_do_not_exist(service: Api) -> None:
    for name in ("users", "auth.users", "pg_class", "pg_catalog.pg_authid", '"auth"."users"', "public.things"):
        assert (await service.get(f"/rest/v1/{name}")).status_code == 404


async def test_nul_and_broken_utf8_in_a_filter_are_a_clear_400(service: Api) -> None:
    nul = await service.get("/rest/v1/things?label=eq.%00")
    assert (nul.status_code, nul.json()["code"]) == (400, "22021")
    assert (await service.get("/rest/v1/things?label=eq.%ff%fe")).json() == []


HOSTILE = [
    "n) from things; drop table things; --",
    'n" from auth.users --',
    "'; select pg_sleep(9) --",
    "1 or true",
    "(select encrypted_password from auth.users)",
    "n%s%(x)s%%",
    "{0}{}",
    "\\'; drop table things; --",
    '"; drop table things; --',
    "$$; drop table things; $$",
    "1::text",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_a_value_or_a_refusal_never_sql(service: Api, text: str) -> None:
    async def ask(method: str, path: str, params: dict[str, str], body: object = None) -> int:
        headers = {"apikey": service.key, "authorization": f"Bearer {service.key}"}
        answer = await service.http.request(method, path, params=params, json=body, headers=headers)
        assert answer.status_code in {200, 201, 204, 400, 404, 501}, answer.text
        assert answer.json()["code"] != "42601" if answer.status_code == 400 else True, answer.text
        return answer.status_code

    statuses = [
        await ask("GET", "/rest/v1/things", {"select": text}),
        await ask("GET", "/rest/v1/things", {"order": text}),
        await ask("GET", "/rest/v1/things", {text: "eq.1"}),
        await ask("GET", "/rest/v1/things", {"n": text}),
        await ask("GET", f"/rest/v1/{text.replace('/', '')}", {}),
        await ask("POST", "/rest/v1/things", {"columns": text}, {"n": 77}),
        await ask("POST", "/rest/v1/things", {}, {text: 1}),
        await ask("POST", "/rest/v1/rpc/add", {}, {text: 1}),
        await ask("POST", f"/rest/v1/rpc/{text.replace('/', '')}", {}, {}),
    ]
    assert not {200, 201, 204} & set(statuses)
    assert await ask("GET", "/rest/v1/things", {"label": f"eq.{text}"}) == 200
    assert await ask("GET", "/rest/v1/things", {"label": f"in.({text})"}) in {200, 400}
    assert await ask("PATCH", "/rest/v1/things", {"n": "eq.3"}, {"label": text}) == 204
    assert service.stack.sql("select label from things where n = 3") == [{"label": text}]
    assert service.stack.sql("select count(*) from things") == [{"count": 3}]


@pytest.mark.slow
@pytest.mark.timeout(120)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=30)), max_size=4))
def test_the_parser_parses_or_refuses_whatever_comes(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(Refusal):
        parse_query(pairs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=8).filter(lambda text: "\x00" not in text), min_size=1, max_size=5))
def test_a_quoted_list_is_read_as_it_was_written(values: list[str]) -> None:
    quoted = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    [(_, found)] = parse_query([("n", f"in.({quoted})")]).conditions
    assert isinstance(found, Filter)
    assert found.values == tuple(values)
