"""Whatever is sent to `/auth/v1`: an answer in its own shape, no 500, no traceback, no wait without end."""

from __future__ import annotations

import json
import socket
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.localstack.keys import TokenError
from tests.support.stack import StackThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
MARK = "fuzz-"

ROUTES = [
    ("POST", "/auth/v1/token?grant_type=password"),
    ("POST", "/auth/v1/token?grant_type=refresh_token"),
    ("POST", "/auth/v1/signup"),
    ("POST", "/auth/v1/recover"),
    ("POST", "/auth/v1/logout?scope=local"),
    ("PUT", "/auth/v1/user"),
    ("POST", "/auth/v1/admin/users"),
    ("PUT", "/auth/v1/admin/users/{user}"),
    ("DELETE", "/auth/v1/admin/users/{user}"),
]
NAMES = [
    *("email", "password", "phone", "refresh_token", "data", "user_metadata", "app_metadata", "role", "id", "nonce"),
    *("ban_duration", "email_confirm", "should_soft_delete", "aud", "password_hash", "gotrue_meta_security"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
likely = st.sampled_from(
    [
        *(f"{MARK}x@example.com", "A@B", "pw-pw-pw", "1h", "none", "-9999999999h", "service_role", "authenticated"),
        *(
            "00000000-0000-4000-8000-000000000000",
            "abcdefghijkl",
            "\0",
            "\ud800",
            "e\u0301@x.de",
            "x" * 300,
            "{}",
            True,
        ),
        *("{}", True, 10**40, -1, 1e308, {"a": None}, {"\0": "\0"}, {"": {}}, ["a"]),
    ]
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(NAMES), likely | json_values).map(lambda value: json.dumps(value).encode()),
)


class Fuzzed:
    """The stack, one user to shoot at, and what every answer has to be."""

    def __init__(self, stack: StackThread) -> None:
        self.stack = stack
        self.http = httpx.Client(base_url=stack.url, verify=False, timeout=20)  # noqa: S501 # plain HTTP
        self.email = f"{MARK}{uuid4().hex}@example.com"
        self.user_id = ""
        self.token = ""
        self.renew()

    def renew(self) -> None:
        """The user as it was: what was shot may have hit."""
        self.stack.sql("delete from auth.users where email like %s or deleted_at is not null", f"{MARK}%")
        self.user_id = str(self.stack.create_user(self.email, "pw-pw-pw"))
        body = {"email": self.email, "password": "pw-pw-pw"}
        self.token = self.send("POST", "/auth/v1/token?grant_type=password", body).json()["access_token"]

    def send(
        self, method: str, path: str, body: Any = None, *, bearer: str | None = None, headers: Any = None
    ) -> httpx.Response:
        given = {"apikey": self.stack.keys.anon_key, "content-type": "application/json"} | (headers or {})
        given |= {"authorization": f"Bearer {bearer}".strip()} if bearer is not None else {}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self.http.request(method, path.format(user=self.user_id), content=content, headers=given)


@pytest.fixture(scope="module")
def fuzzed(bare: StackThread) -> Iterator[Fuzzed]:
    found = Fuzzed(bare)
    yield found
    found.http.close()


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    assert "Traceback" not in answer.text
    if answer.status_code >= 400:
        told = answer.json()
        assert {"code", "message"} <= told.keys() or {"error_code", "msg"} <= told.keys() or "hint" in told, told
        assert not str(told.get("code", "")).startswith("PGRSTX")


@FUZZ
@given(route=st.sampled_from(ROUTES), who=st.sampled_from(["nobody", "user", "service"]), body=bodies)
@example(route=ROUTES[0], who="nobody", body=b'{"email":"a@b","password":"\\ud800"}')
@example(route=ROUTES[6], who="service", body=b'{"email":"a@b.c","user_metadata":{"a":1e999}}')
@example(route=ROUTES[5], who="user", body=b'{"data":{"a":"\\u0000"}}')
@example(route=ROUTES[7], who="service", body=b'{"ban_duration":"' + b"9" * 5000 + b'h"}')
@example(route=ROUTES[0], who="nobody", body=b'{"a":' * 5000)
@example(route=ROUTES[0], who="nobody", body=b"9" * 60_000)
def test_bodies(fuzzed: Fuzzed, route: tuple[str, str], who: str, body: bytes) -> None:
    bearer = {"nobody": None, "user": fuzzed.token, "service": fuzzed.stack.keys.service_key}[who]
    answer = fuzzed.send(*route, body, bearer=bearer)
    check(answer)
    if answer.status_code < 300 and who != "nobody":
        fuzzed.renew()


HEADERS = [
    *("apikey", "authorization", "content-type", "accept", "x-supabase-api-version", "x-client-info", "user-agent"),
    *("x-forwarded-for", "x-jwt-aud", "origin", "prefer", "range", "accept-profile", "cookie"),
]
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300).map(str.strip)
header_words = st.sampled_from(["Bearer", "bearer a b", "Basic x", "2024-01-01", "0000-00-00", "9" * 300])


@FUZZ
@given(
    path=st.sampled_from(["/auth/v1/user", "/auth/v1/health", "/auth/v1/token?grant_type=password", "/rest/v1/things"]),
    headers=st.dictionaries(st.sampled_from(HEADERS), header_text | header_words),
)
def test_headers(fuzzed: Fuzzed, path: str, headers: dict[str, str]) -> None:
    method = "POST" if "token" in path else "GET"
    check(fuzzed.send(method, path, {} if method == "POST" else None, headers=headers))


query_text = st.text(max_size=40)


@FUZZ
@given(
    path=st.sampled_from(["/auth/v1/admin/users", "/auth/v1/token", "/auth/v1/logout", "/auth/v1/user"]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    query=st.dictionaries(
        st.sampled_from(["page", "per_page", "filter", "sort", "grant_type", "scope", "apikey", "redirect_to"]),
        query_text | st.sampled_from(["0", "-1", "1", "9" * 19, "9" * 25, "%", "_\\", "\0", "password", "local"]),
    ),
)
@example(path="/auth/v1/admin/users", method="GET", query={"page": "9" * 19, "per_page": "9" * 19})
@example(path="/auth/v1/admin/users", method="GET", query={"page": str(2**63 - 1), "per_page": str(2**63 - 1)})
@example(path="/auth/v1/admin/users", method="GET", query={"filter": "\\"})
def test_queries(fuzzed: Fuzzed, path: str, method: str, query: dict[str, str]) -> None:
    keys = fuzzed.stack.keys
    check(fuzzed.send(method, f"{path}?{urlencode(query, errors='surrogatepass')}", b"{}", bearer=keys.service_key))


@FUZZ
@given(path=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example(path="admin/users/\0")
@example(path="admin/users/../../rest/v1")
def test_paths(fuzzed: Fuzzed, path: str) -> None:
    check(fuzzed.send("GET", f"/auth/v1/{quote(path)}", bearer=fuzzed.stack.keys.service_key))


token_text = st.text(string.ascii_letters + string.digits + "-_.=", max_size=200)


@FUZZ
@given(data=st.data())
def test_changed_tokens_open_nothing(fuzzed: Fuzzed, data: st.DataObject) -> None:
    """One character, one part, or all of it; for a session, the anon key and the service key."""
    keys = fuzzed.stack.keys
    token = data.draw(st.sampled_from([fuzzed.token, keys.anon_key, keys.service_key]))
    parts = token.split(".")
    other = data.draw(st.sampled_from([fuzzed.token, keys.anon_key, keys.service_key])).split(".")
    at = data.draw(st.integers(0, len(token) - 1))
    changed = data.draw(
        st.one_of(
            token_text,
            st.sampled_from(string.ascii_letters).map(lambda letter: token[:at] + letter + token[at + 1 :]),
            st.just(".".join([other[0], parts[1], parts[2]])),
            st.just(".".join([parts[0], other[1], parts[2]])),
            st.just(".".join([parts[0], parts[1], ""])),
            st.integers(0, 40).map(lambda n: token + "." * n),
            st.integers(1, 40).map(lambda n: token[:-n]),
        )
    )
    if changed in (fuzzed.token, keys.anon_key, keys.service_key) or _says_the_same(fuzzed, changed):
        return
    for path in ("/auth/v1/user", "/auth/v1/admin/users", "/rest/v1/things"):
        answer = fuzzed.send("GET", path, bearer=changed)
        check(answer)
        assert answer.status_code in {401, 403}, (path, answer.text)


def _says_the_same(fuzzed: Fuzzed, changed: str) -> bool:
    """The last character of a part may hold bits that mean nothing: it is the same token then."""
    try:
        claims = fuzzed.stack.keys.verify(changed)
    except TokenError:
        return False
    known = (fuzzed.token, fuzzed.stack.keys.anon_key, fuzzed.stack.keys.service_key)
    return claims in [fuzzed.stack.keys.verify(each) for each in known]


CLAIMS = [
    "sub",
    "session_id",
    "role",
    "exp",
    "nbf",
    "iat",
    "aud",
    "iss",
    "email",
    "aal",
    "app_metadata",
    "is_anonymous",
]


@FUZZ
@given(
    claims=st.dictionaries(st.sampled_from(CLAIMS), json_values | likely),
    how=st.sampled_from(["mint", "issue", "stranger", "none"]),
)
@example(claims={"role": "authenticated", "exp": 10**400}, how="mint")
@example(claims={"role": "authenticated", "exp": float("nan")}, how="mint")
@example(claims={"role": "authenticated", "sub": "\0"}, how="issue")
@example(claims={"role": ["service_role"]}, how="mint")
@example(claims={"role": {"service_role": 1}}, how="mint")
def test_claims(fuzzed: Fuzzed, claims: dict[str, Any], how: str) -> None:
    """Only whoever holds our secrets can sign; but a bug there must not be a 500 either."""
    keys = fuzzed.stack.keys
    try:
        token = {
            "mint": lambda: keys.mint(claims, 60),
            "issue": lambda: keys.issue(claims, 60),
            "stranger": lambda: jwt.encode(claims, "x" * 48),
            "none": lambda: jwt.encode(claims, None, algorithm="none"),
        }[how]()
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError):
        return
    for path in ("/auth/v1/user", "/auth/v1/admin/users", "/rest/v1/things"):
        answer = fuzzed.send("GET", path, bearer=token)
        check(answer)
        if how in {"stranger", "none"}:
            assert answer.status_code in {401, 403}


@FUZZ
@given(
    sent=st.binary(max_size=300)
    | st.binary(max_size=100).map(
        lambda tail: b"GET /auth/v1/health HTTP/1.1\r\nhost: localhost\r\n" + tail + b"\r\n\r\n"
    )
    | st.binary(max_size=60).map(lambda path: b"GET /" + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
    | st.binary(max_size=60).map(lambda host: b"GET / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
)
@example(sent=b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
@example(sent=b"POST /auth/v1/token HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n")
@example(sent=b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
@example(sent=b"GET /%ff%fe%00 HTTP/1.1\r\nhost: localhost\r\n\r\n")
@example(sent=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
def test_bytes(fuzzed: Fuzzed, sent: bytes) -> None:
    """What no HTTP client would send. Our half is closed, so the other side has nothing to wait for."""
    with socket.create_connection(("127.0.0.1", fuzzed.stack.local._gateway.port), timeout=20) as raw:
        raw.sendall(sent)
        raw.shutdown(socket.SHUT_WR)
        told = b""
        try:
            while part := raw.recv(65536):
                told += part
        except ConnectionError:
            pass
    assert not told or told.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 501")), told
    assert b"Traceback" not in told
