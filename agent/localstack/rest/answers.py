"""The response: status, headers and body of what a statement returned, as PostgREST writes them (its Response.hs)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from starlette.responses import Response

from agent.localstack.pgerrors import refusal
from agent.localstack.rest.catalog import Table
from agent.localstack.rest.parameters import not_satisfiable
from agent.localstack.rest.preferences import SCHEMA, Media, Preferences
from agent.localstack.rest.session import Result

NO_LENGTH = {204, 304}
Headers = list[tuple[bytes, bytes]]
PARTIAL, OK, CREATED, EMPTY = 206, 200, 201, 204


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How an answer is to look. `single`: the body is a list of which the one element is wanted."""

    media: Media
    preferences: Preferences
    head: bool = False
    listed: bool = True

    @cached_property
    def key(self) -> str:
        """The same for the same media and preferences."""
        return "\n".join((self.media.content_type, *self.preferences.words))

    @cached_property
    def described(self) -> Headers:
        """The headers of a body."""
        return [(b"content-type", self.media.content_type.encode()), (b"content-profile", SCHEMA.encode())]

    @cached_property
    def read(self) -> Headers:
        """The headers of rows that were read, but for those about which rows they are."""
        return [*self.described, *self.applied("count", "handling")]

    @cached_property
    def returned(self) -> Headers:
        """The same of what a function returned."""
        return [*self.described, *self.applied("count", "handling", "max-affected")]

    def applied(self, *names: str) -> Headers:
        """The header that says which preferences were acted upon."""
        return [(name.encode(), value.encode()) for name, value in self.preferences.applied(names).items()]


class Answer(Response):
    """With headers that are known to be sound: lower-case names, values on one line."""

    def __init__(self, body: bytes, status: int, headers: Headers) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = headers


def check_single(result: Result) -> None:
    """PGRST116 unless there is exactly one row."""
    if result.rows != 1:
        message = "Cannot coerce the result to a single JSON object"
        raise refusal(406, "PGRST116", message, details=f"The result contains {result.rows} rows")


def check_affected(result: Result, most: int) -> None:
    """PGRST124 when more rows than that changed."""
    if result.rows > most:
        message = "Query result exceeds max-affected preference constraint"
        raise refusal(400, "PGRST124", message, details=f"The query affects {result.rows} rows")


def rows_answer(result: Result, shown: Shown, *, offset: int, location: str | None = None) -> Response:
    """Of a read (`location`), or of a function that returns something."""
    content_range = _range(offset, offset + result.rows - 1, result.total)
    if result.total is not None and offset > result.total:
        told = f"An offset of {offset} was requested, but there are only {result.total} rows."
        raise not_satisfiable(told, {"content-range": content_range.decode()})
    partial = result.total is not None and result.rows < result.total
    headers = [(b"content-range", content_range), *(shown.returned if location is None else shown.read)]
    if location is not None:
        headers.append((b"content-location", location.encode()))
    return _response(result, PARTIAL if partial else OK, headers, b"" if shown.head else _body(result, shown))


def void_answer(result: Result, shown: Shown) -> Response:
    """Of a function that returns nothing."""
    headers = [(b"content-range", _range(0, result.rows - 1, None)), *shown.applied("count", "handling")]
    return _response(result, EMPTY, headers, b"")


def insert_answer(result: Result, shown: Shown, table: Table, *, conflict: bool) -> Response:
    """Of `POST /table`."""
    preferences = shown.preferences
    resolution = ("resolution",) if conflict else ()
    headers = [
        (b"content-range", b"*/%d" % result.rows if _counts(preferences) else b"*/*"),
        *shown.applied("missing", "return", "count", "handling", *resolution),
    ]
    if preferences.given.get("return") == "headers-only" and table.key and result.rows == 1:
        headers.append((b"location", _location(table, result.body).encode()))
    status = OK if result.inserted is not None and result.inserted <= 0 else CREATED
    return _written(result, shown, status, status, headers)


def update_answer(result: Result, shown: Shown) -> Response:
    """Of `PATCH /table`."""
    total = result.rows if _counts(shown.preferences) else None
    applied = shown.applied("missing", "return", "count", "handling", "max-affected")
    return _written(result, shown, OK, EMPTY, [(b"content-range", _range(0, result.rows - 1, total)), *applied])


def delete_answer(result: Result, shown: Shown) -> Response:
    """Of `DELETE /table`."""
    content_range = b"*/%d" % result.rows if _counts(shown.preferences) else b"*/*"
    applied = shown.applied("return", "count", "handling", "max-affected")
    return _written(result, shown, OK, EMPTY, [(b"content-range", content_range), *applied])


def _written(result: Result, shown: Shown, full: int, empty: int, headers: Headers) -> Response:
    if not shown.preferences.returning:
        return _response(result, empty, headers, b"")
    return _response(result, full, headers + shown.described, _body(result, shown))


def _counts(preferences: Preferences) -> bool:
    return preferences.count in {"exact", "estimated"}


def _range(lower: int, upper: int, total: int | None) -> bytes:
    if total is None:
        return b"%d-%d/*" % (lower, upper) if lower <= upper else b"*/*"
    return b"%d-%d/%d" % (lower, upper, total) if lower <= upper and total else b"*/%d" % total


def _body(result: Result, shown: Shown) -> bytes:
    return result.body[1:-1] if shown.media.kind == "object" and shown.listed else result.body


def _location(table: Table, body: bytes) -> str:
    """Where the new row is: `/table?key=eq.value`."""
    row: Mapping[str, object] = json.loads(body)[0]
    pairs = []
    for name in table.key:
        value = row[name]
        shown = "is.null" if value is None else f"eq.{value if isinstance(value, str) else json.dumps(value)}"
        pairs.append(f"{quote(name, safe='')}={quote(shown, safe='')}")
    return f"/{quote(table.name)}?{'&'.join(pairs)}"


def _response(result: Result, status: int, headers: Headers, body: bytes) -> Response:
    """With what a function has set as `response.status` and `response.headers`."""
    if result.status is not None:
        if not result.status.isdigit() or not 100 <= int(result.status) <= 599:  # noqa: PLR2004 # HTTP's
            raise refusal(500, "PGRST112", "response.status guc must be a valid status code")
        status = int(result.status)
    if status >= OK and status not in NO_LENGTH:
        headers.append((b"content-length", b"%d" % len(body)))
    if result.headers is not None:
        headers = list((dict(headers) | _own_headers(result.headers)).items())
    return Answer(body, status, headers)


def _own_headers(text: str) -> dict[bytes, bytes]:
    """`[{"Name": "value"}, …]`, or PGRST111."""
    try:
        found = json.loads(text)
        pairs = [pair for each in found for pair in each.items() if len(each) == 1]
        sound = len(pairs) == len(found) and all(_is_header(*pair) for pair in pairs)
    except (ValueError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        message = "response.headers guc must be a JSON array composed of objects with a single key and a string value"
        raise refusal(500, "PGRST111", message)
    return {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in pairs}


def _is_header(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and name.replace("-", "").replace("_", "").isalnum()
        and name.isascii()
        and value.isprintable()
        and all(ord(char) < 256 for char in value)  # noqa: PLR2004 # latin-1
    )
