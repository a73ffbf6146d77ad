"""Keys of `http` and `python` jobs, and the types of their values."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from agent.config.fields import Checked, Prose, fault, text_of
from agent.config.part import Part, option
from agent.model import Json

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_LOWEST, _HIGHEST = 200, 599
"""Final status codes (RFC 9110 §15); 1xx are never the answer."""
_STATUSES = re.compile(r"([1-9][0-9]{2})(?:\s*[-–]\s*([1-9][0-9]{2}))?|([1-9])xx", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name: RFC 9110 §5.6.2."""
_FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
_NOT_IN_HEADER = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")
_NAME = r"[^\W\d]\w*"
_ENTRY = re.compile(rf"{_NAME}(\.{_NAME})*:{_NAME}(\.{_NAME})*")


class Method(Checked):
    """The method of a request."""

    label: ClassVar[str] = "one of " + ", ".join(f"`{method}`" for method in METHODS)

    def _parse(self, value: Any) -> str:
        text = text_of(value).upper()
        if text not in METHODS:
            raise fault(f"is none of {', '.join(METHODS)}")
        return text


class Url(Checked):
    """An absolute http(s) URL."""

    label: ClassVar[str] = "URL"

    def _parse(self, value: Any) -> str:
        text = text_of(value).strip()
        try:
            parts = urlsplit(text)
            parts.port  # noqa: B018  # raises ValueError where the port is no number
        except ValueError as err:
            raise fault("is not a URL; write it like https://example.com/hook") from err
        if parts.scheme not in ("http", "https") or not parts.hostname or _NOT_IN_URL.search(text):
            raise fault("is not an http(s) URL; write it like https://example.com/hook")
        return text


class HeaderName(Checked):
    """The name of a header that a job may set."""

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not _TOKEN.fullmatch(text):
            raise fault("is not the name of a header; use letters, digits and dashes")
        if text.lower() in _FRAMING:
            raise fault("is set by the agent itself; drop it")
        return text


class HeaderValue(Checked):
    """The value of a header."""

    def _parse(self, value: Any) -> str:
        text = text_of(value).strip()
        if _NOT_IN_HEADER.search(text):
            raise fault("contains a line break or a character that no header can have; encode it")
        return text

    def _json_schema(self) -> dict[str, Json]:
        return {"type": ["string", "number", "boolean"]}


class Statuses(Checked):
    """Ranges of status codes, from `200`, `201-204` and `2xx`, one or a list of them."""

    label: ClassVar[str] = "status code, range (`201-204`, `2xx`), or a list of them"

    def _parse(self, value: Any) -> tuple[tuple[int, int], ...]:
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, str) for item in items):
            raise PydanticCustomError("shape", "expects status codes such as [200, 201-204]")
        return tuple(self._range(item) for item in items)

    def _range(self, text: str) -> tuple[int, int]:
        match = _STATUSES.fullmatch(text.strip())
        if match is None:
            raise fault("is not a status code; write 200, 201-204 or 2xx")
        first = int(match[1] or f"{match[3]}00")
        last = int(match[2] or match[1] or f"{match[3]}99")
        if not _LOWEST <= first <= last <= _HIGHEST:
            raise fault(f"is out of range; write {_LOWEST} to {_HIGHEST}, the lower one first")
        return first, last

    def _json_schema(self) -> dict[str, Json]:
        one: dict[str, Json] = {"type": ["string", "integer"]}
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


class EntryPoint(Checked):
    """(module, function), from `package.module:function`."""

    label: ClassVar[str] = "`package.module:function`"

    def _parse(self, value: Any) -> tuple[str, str]:
        text = text_of(value)
        if not _ENTRY.fullmatch(text):
            raise fault("does not name a function; write package.module:function")
        module, _, function = text.partition(":")
        return module, function


class Program(Checked):
    """The path of a program, absolute or below the home directory."""

    label: ClassVar[str] = "file, absolute or `~/…`"

    def _parse(self, value: Any) -> str:
        text = text_of(value)
        if not text.startswith(("/", "~/")):
            raise fault("is not a full path; write it from `/` or `~/`")
        return text


class Http(Part):
    """An HTTP request in place of a process; the job's `timeout` is its own, from connecting to the last byte.

    The answer (status, some headers, body) is the output. A proxy named by `HTTPS_PROXY` and its like is used; no
    cookie is kept, and nothing that is sent shows in `ps`.
    """

    method: Annotated[str, Method()] | None = option(
        "Default: GET, or POST where something is sent (`json`, `body`, or the payload of a request).", example="POST"
    )
    url: Annotated[str, Url()] = Field(description="Where to.", examples=["https://example.com/hook"])
    headers: dict[Annotated[str, HeaderName()], Annotated[str, HeaderValue()]] = option(
        "Sent along, to this host alone: after a redirect to another one none of them is.",
        default={},
        example={"Authorization": "Bearer ${TOKEN}"},
    )
    json_: Any = Field(
        default=None,
        alias="json",
        description="The body, as JSON. Without `json` and `body` the payload of a request is the body. "
        "Numbers and booleans are what they look like, and a text where something was filled in.",
        examples=[{"dry_run": False}],
    )
    body: Annotated[str, Prose(2**20)] | None = option("The body, as it stands.", example="ping")
    expect: Annotated[tuple[tuple[int, int], ...], Statuses()] = option(
        "Status codes that are a success. Any other is an error (`http_status`).",
        default="2xx",
        example=[200, "201-204"],
    )
    follow_redirects: bool = option(
        "Whether to go where a redirect points, ten times at most. A body is not sent to another host.",
        default=False,
        example=True,
    )


class Python(Part):
    """A function, called in a process of its own that starts in `workdir`, where it is imported from.

    Async functions are awaited. A returned whole number is the exit code (so is the one of SystemExit); anything else
    but None is printed as JSON. An exception is an exit code of 1, with its traceback. The payload of a request is
    handed over as the keyword argument `payload`, where the function takes one. Short form: `python: module:function`.
    """

    call: Annotated[tuple[str, str], EntryPoint()] = Field(
        description="Module and function.", examples=["reports.daily:send"]
    )
    args: list[Any] = option("Positional arguments, typed as in `http.json`.", default=[], example=["team", 3])
    kwargs: dict[str, Any] = option(
        "Keyword arguments, typed as in `http.json`.", default={}, example={"dry_run": True}
    )
    interpreter: Annotated[str, Program()] | None = option(
        "Python 3.8 or later, with what the function needs. Default: the one that runs the agent.",
        example="~/venv/bin/python",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"call": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Json]:
        long_form = handler(schema)
        return {"anyOf": [{"type": "string", "pattern": r":|\$\{"}, handler.resolve_ref_schema(long_form)]}
