"""The body of a request: JSON, CSV or a form, as rows to write or as arguments of a function."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl

from starlette.types import Receive

from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import read_whole
from agent.model.value import Json

JSON = "application/json"
CSV = "text/csv"
FORM = "application/x-www-form-urlencoded"
RAW = {"text/plain": "text", "text/xml": "xml", "application/octet-stream": "bytea"}
"""What a function with one argument without a name may be sent, and that argument's type."""
_JSON_TYPES = {JSON, "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json", ""}


class Rows(NamedTuple):
    """`text` is JSON: an array of objects (`many`) or one object; of these `columns` are taken."""

    text: str
    many: bool
    columns: tuple[str, ...]


class Body(NamedTuple):
    """A body as it came. `value` is its JSON."""

    kind: str
    raw: bytes
    text: str = ""
    value: Json = None
    form: tuple[tuple[str, str], ...] = ()


async def read(receive: Receive, kind: str, *, function: bool) -> Body:
    """The body that `receive` gives, whose content type is `kind`; PGRST102 where it is not what it says."""
    raw = await read_whole(receive)
    if kind in _JSON_TYPES:
        text, value = _json(raw or (b"{}" if function else b""))
        return Body(JSON, raw, text, value)
    if function and kind in RAW:
        return Body(kind=kind, raw=raw)
    if kind == FORM:
        form = tuple(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
        fields: dict[str, Json] = dict(form)
        return Body(kind=kind, raw=raw, text=json.dumps(fields), value=fields, form=form)
    if kind == CSV and not function:
        rows = _csv(raw)
        return Body(kind=kind, raw=raw, text=json.dumps(rows), value=rows)
    raise refusal(400, "PGRST102", f"Content-Type not acceptable: {kind}")


def rows_of(body: Body, columns: tuple[str, ...] | None) -> Rows:
    """The rows that a body holds, with the columns named for it or those of its first row."""
    value = body.value
    if isinstance(value, dict):
        return Rows(text=body.text, many=False, columns=tuple(value) if columns is None else columns)
    if not isinstance(value, list) or not value:
        # PostgREST takes what is neither an object nor an array for an empty array.
        return Rows(text="[]", many=True, columns=() if columns is None else columns)
    if columns is None:
        first = value[0]
        if not isinstance(first, dict) or any(not isinstance(row, dict) or row.keys() != first.keys() for row in value):
            raise refusal(400, "PGRST102", "All object keys must match")
        columns = tuple(first)
    return Rows(text=body.text, many=True, columns=columns)


def arguments_of(body: Body) -> tuple[tuple[str, ...], str]:
    """Names and JSON object of a function's arguments; of an array its first object counts."""
    value = body.value
    if isinstance(value, dict):
        return tuple(value), body.text
    rows = rows_of(body, None)
    first: Mapping[str, Json] = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}
    return rows.columns, json.dumps(first)


def _json(raw: bytes) -> tuple[str, Json]:
    try:
        text = raw.decode("utf-8")
        return text, DECODER.decode(text)
    except (ValueError, RecursionError) as err:
        raise refusal(400, "PGRST102", "Empty or invalid json") from err


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _csv(raw: bytes) -> list[Json]:
    """A header and lines; `NULL` is null."""
    try:
        lines = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    except (ValueError, csv.Error) as err:
        raise refusal(400, "PGRST102", "parse error (not enough input)") from err
    if not lines:
        raise refusal(400, "PGRST102", "parse error (not enough input)")
    header, kept = lines[0], [line for line in lines[1:] if line]
    if any(len(line) != len(header) for line in kept):
        raise refusal(400, "PGRST102", "All lines must have same number of fields")
    return [
        {name: None if value == "NULL" else value for name, value in zip(header, line, strict=True)} for line in kept
    ]
