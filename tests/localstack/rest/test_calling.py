"""Functions as remote procedure calls, as PostgREST's documentation has them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.localstack.conftest import Api
from tests.support.waiting import wait_until

RPC = "/rest/v1/rpc"


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("add?a=1&b=2", 3),
        ("add?a=1", 11),
        ("years", [1962, 1985, 1952, None, 1990]),
        ("pick?a=4&b=hello", {"total": 8, "label": "hello"}),
        ("pick?a=4", {"total": 8, "label": "x"}),
        ("sum_all?numbers=1&numbers=2&numbers=3", 6),
        ("sum_all?numbers=5", 5),
        ("nobody", None),
    ],
)
async def test_get_takes_arguments_from_the_query_string(service: Api, path: str, result: object) -> None:
    service.stack.sql("alter function nobody() stable")
    answer = await service.get(f"{RPC}/{path}")
    assert (answer.status_code, answer.json()) == (200, result)


async def test_get_runs_read_only_whatever_the_function(service: Api) -> None:
    answer = await service.get(f"{RPC}/stock_up")
    assert (answer.status_code, answer.json()["code"]) == (405, "25006")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
async def test_other_methods_are_pgrst101(service: Api, method: str) -> None:
    answer = await service.call(method, f"{RPC}/years", {})
    assert answer.status_code == 405
    assert answer.json() == {
        "code": "PGRST101",
        "details": None,
        "hint": None,
        "message": f"Cannot use the {method} method on RPC",
    }


async def test_a_set_of_rows_is_selected_filtered_ordered_and_cut_like_a_table(service: Api) -> None:
    by_get = await service.get(f"{RPC}/films_of?year_from=1950&select=t:title&rating=gt.7&order=year.desc&limit=2")
    assert by_get.json() == [{"t": "Ran"}, {"t": "Cléo"}]
    by_post = await service.post(
        f"{RPC}/films_of?select=title,year::text&or=(year.eq.1952,id.eq.1)&order=id.desc&offset=1", {"year_from": 1950}
    )
    assert (by_post.json(), by_post.headers["content-range"]) == ([{"title": "Cléo", "year": "1962"}], "1-1/*")


async def test_a_set_of_rows_is_counted(service: Api) -> None:
    for count in ("exact", "estimated"):
        answer = await service.post(f"{RPC}/films_of?limit=1&id=gt.1", {"year_from": 1950}, prefer=f"count={count}")
        assert (answer.status_code, answer.headers["content-range"]) == (206, "0-0/3")


async def test_the_rows_of_a_table_embed_what_belongs_to_it(service: Api) -> None:
    answer = await service.post(f"{RPC}/films_of?select=id,directors!inner(last_name)&directors.id=eq.1", {})
    assert answer.json() == [{"id": 1, "directors": {"last_name": "Varda"}}]
    best = await service.post(f"{RPC}/best_film?select=title,directors(last_name)", {})
    assert best.json() == {"title": "Ikiru", "directors": {"last_name": "Kurosawa"}}


async def test_columns_of_a_returned_table_can_be_chosen(service: Api) -> None:
    assert (await service.post(f"{RPC}/pairs?select=y&x=eq.1", {})).json() == [{"y": "a"}]
    answer = await service.post(f"{RPC}/pairs?select=nope", {})
    assert (answer.status_code, answer.json()["code"]) == (400, "42703")


async def test_csv_of_a_function(service: Api) -> None:
    answer = await service.get(f"{RPC}/films_of?select=id,title&id=lt.3", accept="text/csv")
    assert answer.text == "id,title\n1,Cléo\n2,Ran"


async def test_one_argument_without_a_name_takes_the_whole_body(service: Api) -> None:
    assert (await service.post(f"{RPC}/take_json", {"k": "v"})).json() == "v"
    text = await service.post(f"{RPC}/take_text", "häl".encode(), content_type="text/plain")
    assert text.json() == 3
    raw = await service.post(f"{RPC}/take_bytes", b"\x00\xff", content_type="application/octet-stream")
    assert raw.json() == 2
    wrong = await service.post(f"{RPC}/add", b"x", content_type="text/plain")
    assert (wrong.status_code, wrong.json()["code"]) == (404, "PGRST202")
    assert "with a single unnamed text parameter" in wrong.json()["details"]


async def test_a_form_and_an_array_of_one_give_arguments_too(service: Api) -> None:
    form = await service.post(f"{RPC}/add", b"a=1&b=2", content_type="application/x-www-form-urlencoded")
    assert form.json() == 3
    assert (await service.post(f"{RPC}/add", [{"a": 1, "b": 5}])).json() == 6
    assert (await service.post(f"{RPC}/sum_all", {"numbers": [1, 2]})).json() == 3


async def test_void_is_204_and_has_happened(service: Api) -> None:
    answer = await service.post(f"{RPC}/stock_up", {})
    assert (answer.status_code, answer.content, "content-type" in answer.headers) == (204, b"", False)
    assert service.stack.sql("select count(*) from stock where sku = 'by function'") == [{"count": 1}]


async def test_a_stable_void_function_is_really_called(service: Api) -> None:
    answer = await service.post(f"{RPC}/must_fail_though_stable", {})
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (400, "P0001", "it ran")


async def test_a_function_may_set_status_and_headers(service: Api) -> None:
    headers = json.dumps([{"X-One": "1"}, {"Cache-Control": "no-store"}])
    answer = await service.post(f"{RPC}/own_answer", {"h": headers, "s": "418"})
    assert (answer.status_code, answer.json()) == (418, "ok")
    assert (answer.headers["x-one"], answer.headers["cache-control"]) == ("1", "no-store")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ("no json", "200", "PGRST111"),
        ('{"a": "b"}', "200", "PGRST111"),
        ('[{"a": 1}]', "200", "PGRST111"),
        ('[{"a": "x\\ny"}]', "200", "PGRST111"),
        ("[]", "nope", "PGRST112"),
        ("[]", "99999", "PGRST112"),
    ],
)
async def test_what_a_function_sets_wrongly_is_said(service: Api, headers: str, status: str, code: str) -> None:
    answer = await service.post(f"{RPC}/own_answer", {"h": headers, "s": status})
    assert (answer.status_code, answer.json()["code"]) == (500, code)


async def test_a_preferred_time_zone_holds_for_the_request(service: Api) -> None:
    answer = await service.post(f"{RPC}/zone", {}, prefer="timezone=America/Los_Angeles")
    assert (answer.json(), answer.headers["preference-applied"]) == (
        "America/Los_Angeles",
        "timezone=America/Los_Angeles",
    )
    assert (await service.post(f"{RPC}/zone", {}, prefer="timezone=Mars/Base")).json() == "UTC"


async def test_settings_of_the_role_hold_and_are_reread(service: Api, anon: Api) -> None:
    assert (await anon.post(f"{RPC}/setting_of", {"name": "statement_timeout"})).json() == "3s"
    assert (await service.post(f"{RPC}/setting_of", {"name": "statement_timeout"})).json() == "8s"
    service.stack.sql("alter role anon set statement_timeout = '150ms'; notify pgrst, 'reload config'")
    try:
        await wait_until(lambda: _timeout_of(anon), 5)
        answer = await anon.post(f"{RPC}/waits", {"seconds": 3})
        assert (answer.status_code, answer.json()["code"]) == (500, "57014")
    finally:
        service.stack.sql("alter role anon set statement_timeout = '3s'; notify pgrst, 'reload config'")


async def _timeout_of(api: Api) -> bool:
    return bool((await api.post(f"{RPC}/setting_of", {"name": "statement_timeout"})).json() == "150ms")


async def test_a_timeout_of_the_function_itself_holds(service: Api) -> None:
    answer = await service.post(f"{RPC}/slow", {})
    assert (answer.status_code, answer.json()["code"]) == (500, "57014")


async def test_cookies_and_headers_reach_the_database(service: Api) -> None:
    cookies = await service.post(f"{RPC}/setting_of", {"name": "request.cookies"}, cookie="a=1; b=2")
    assert json.loads(cookies.json()) == {"a": "1", "b": "2"}
    headers = await service.post(f"{RPC}/setting_of", {"name": "request.headers"}, x_mine="m", cookie="a=1")
    assert json.loads(headers.json())["x-mine"] == "m"
    assert "cookie" not in json.loads(headers.json())


async def test_one_callers_settings_never_reach_the_next(service: Api, anon: Api) -> None:
    async def ask(api: Api, number: int) -> tuple[str, str]:
        answer = await api.post(f"{RPC}/setting_of", {"name": "request.headers"}, x_mine=str(number))
        who = (await api.post(f"{RPC}/whoami", {}, x_test=str(number))).json()
        return json.loads(answer.json())["x-mine"], f"{who['user']} {who['agent']}"

    for index, each in enumerate(await asyncio.gather(*(ask((service, anon)[n % 2], n) for n in range(60)))):
        assert each == (str(index), f"{('service_role', 'anon')[index % 2]} {index}")
