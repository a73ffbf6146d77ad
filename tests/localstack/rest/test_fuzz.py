"""Whatever comes in a query string, a header or a body: a 2xx or 4xx, soon, in JSON, and nobody else's row."""

from __future__ import annotations

import json
import string
import time
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.stack import StackThread

SECRET = "only-bob-may-read-this"
PATIENCE_S = 10
"""Statements are cut off after 8 s; an answer takes milliseconds."""
COLUMNS = ["n", "label", "facts", "tags", "owner", "id", "amount", "at", "big", "secret", "xmin", "*", "nope", '"n"']
# fmt: off
WORDS = [
    *COLUMNS, "eq", "neq", "gt", "like", "ilike", "match", "imatch", "in", "is", "isdistinct", "cs", "cd", "ov", "fts",
    "not", "and", "or", "any", "all", "null", "true", "asc", "desc", "nullsfirst", "nullslast", "inner", "left",
    "directors", "films", "things", "notes", "roles", "count", "sum", "text", "int", "jsonb", "regclass", "numeric",
    "0", "1", "-1", "99999999999999999999", "1e400", "{a,b}", "{}", "[1,2)", '{"k":1}', "%", "_", "'", "\\", "é", "\0",
    ".", ",", "(", ")", ":", "::", "->", "->>", "!", "...", "*", " ", "\t", '"', "()", "$1", "%s", ";", "--", "/*",
    "E'",
]
# fmt: on
soup = st.lists(st.sampled_from(WORDS), max_size=14).map("".join)
field = st.sampled_from(COLUMNS)
operator = st.sampled_from(
    ["eq", "neq", "gt", "lte", "like", "ilike", "match", "in", "is", "isdistinct", "cs", "ov", "fts"]
)
comparison = st.builds("{}{}.{}".format, st.sampled_from(["", "not."]), operator, soup | st.text(max_size=8))
key = st.one_of(
    st.sampled_from(["select", "order", "limit", "offset", "and", "or", "not.or", "columns", "on_conflict", "apikey"]),
    field,
    st.builds("{}.{}".format, st.sampled_from(["directors", "films", "notes"]), field | st.just("order")),
    soup,
    st.text(max_size=6),
)
pair = st.one_of(
    st.tuples(key, soup | st.text(max_size=20)),
    st.tuples(field, comparison),
    st.tuples(st.just("select"), st.lists(field | soup, max_size=5).map(",".join)),
    st.tuples(
        st.sampled_from(["and", "or", "not.and"]),
        st.lists(st.builds("{}.{}".format, field, comparison), max_size=4).map(lambda terms: f"({','.join(terms)})"),
    ),
)
query = st.lists(pair, max_size=5).map(
    lambda pairs: "&".join(f"{quote(name, errors='replace')}={quote(value, errors='replace')}" for name, value in pairs)
)
raw_query = st.text(alphabet=string.printable.strip() + "é\x7f", max_size=40).map(
    lambda text: quote(text, safe="%&=+.,()*!'\"")
)
header = st.text(alphabet=string.ascii_letters + string.digits + "-_=;,/*.+ \t\"'", max_size=40).map(str.strip)
leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
value = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
row = st.dictionaries(st.sampled_from([*COLUMNS, "", 'a"b']) | st.text(max_size=5), value, max_size=4)
body = st.one_of(
    row.map(json.dumps).map(str.encode),
    st.lists(row, max_size=3).map(json.dumps).map(str.encode),
    value.map(json.dumps).map(str.encode),
    st.binary(max_size=30),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
)
slow = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Stranger:
    """Ann, who asks for anything at all."""

    def __init__(self, stack: StackThread, http: httpx.Client, token: str) -> None:
        self._http = http
        self._headers = {"apikey": stack.keys.anon_key, "authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, content: bytes | None = None, headers: dict[str, str] | None = None) -> None:
        began = time.monotonic()
        asked = self._headers | {"content-type": "application/json"} | (headers or {})
        answer = self._http.request(method, path, content=content, headers=asked)
        shown = f"{method} {path} {content!r} {headers}: {answer.status_code} {answer.text[:300]}"
        assert time.monotonic() - began < PATIENCE_S, shown
        assert answer.status_code < 500 or answer.json()["code"] == "PGRST_LOCAL", shown
        assert SECRET not in answer.text, shown
        if answer.status_code >= 400 and method != "HEAD":
            said = answer.json()
            assert set(said) == {"code", "details", "hint", "message"}, shown
            # A syntax error would mean that a caller's text had become SQL.
            assert said["code"] not in {"42601", "42P02", "42P18", "PGRSTX00"}, shown
            assert "Traceback" not in answer.text, shown


@pytest.fixture
def stranger(table: StackThread) -> Iterator[Stranger]:
    table.create_user("ann@example.com", "pw-pw-pw")
    table.sql("update things set label = %s, secret = %s where owner = 'bob@example.com'", SECRET, SECRET)
    with httpx.Client(base_url=table.url, verify=False, timeout=60) as http:  # noqa: S501 # plain HTTP
        answer = http.post(
            "/auth/v1/token?grant_type=password",
            json={"email": "ann@example.com", "password": "pw-pw-pw"},
            headers={"apikey": table.keys.anon_key},
        )
        yield Stranger(table, http, answer.json()["access_token"])
    assert table.sql("select label from things where owner = 'bob@example.com'") == [{"label": SECRET}]


@slow
@given(name=st.sampled_from(["things", "films", "directors", "notes", "numbers", "stock"]), asked=query | raw_query)
def test_any_query_string_of_a_read(stranger: Stranger, name: str, asked: str) -> None:
    stranger.ask("GET", f"/rest/v1/{name}?{asked}")


@slow
@given(method=st.sampled_from(["POST", "PATCH", "DELETE"]), asked=query, content=body, prefer=header)
def test_any_body_of_a_write(stranger: Stranger, method: str, asked: str, content: bytes, prefer: str) -> None:
    stranger.ask(method, f"/rest/v1/things?{asked}", content, {"prefer": f"return=representation,{prefer}"})


@slow
@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    name=st.sampled_from(["add", "typed", "many", "pairs", "films_of", "take_json", "sum_all", "twin", "nope"]),
    asked=query | raw_query,
    content=body,
)
def test_any_call_of_a_function(stranger: Stranger, method: str, name: str, asked: str, content: bytes) -> None:
    stranger.ask(method, f"/rest/v1/rpc/{name}?{asked}", content if method == "POST" else None)


@slow
@given(name=st.text(max_size=20), asked=query)
def test_any_path(stranger: Stranger, name: str, asked: str) -> None:
    stranger.ask("GET", f"/rest/v1/{quote(name, safe='', errors='replace')}?{asked}")


@slow
@given(
    headers=st.dictionaries(
        st.sampled_from(["accept", "prefer", "range", "content-type", "accept-profile", "content-profile", "cookie"]),
        header,
    ),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_any_header(stranger: Stranger, headers: dict[str, str], method: str) -> None:
    stranger.ask(method, "/rest/v1/things?select=n", b"[]" if method == "POST" else None, headers)
