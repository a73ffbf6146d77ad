"""An answer that is not a success, raised from wherever it is found out."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from agent.model.value import Json

JSON_TYPE = "application/json; charset=utf-8"
MAX_BODY = 16 * 1024 * 1024


class Refusal(Exception):
    """HTTP status, JSON body and headers of an error answer."""

    def __init__(self, status: int, body: Mapping[str, Json], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """As an HTTP response."""
        return json_response(self.body, self.status, self.headers)


def json_response(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Compact JSON, with the servers' own content type."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers=dict(headers or {}), media_type=JSON_TYPE)


def not_implemented(what: str) -> Refusal:
    """PostgREST's shape, a code of ours and 501: a refusal that nobody can take for an answer of the genuine server."""
    message = f"not implemented by the local stack: {what}"
    return Refusal(501, {"code": "PGRST_LOCAL", "details": None, "hint": None, "message": message})


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The request's body, at most `limit` bytes; a longer one is refused while it is still coming in."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    return await read_whole(request.receive, limit)


async def read_whole(receive: Receive, limit: int = MAX_BODY) -> bytes:
    """What comes, at most `limit` bytes; ClientDisconnect where it ends early."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    message = f"the request body is larger than {limit} bytes"
    return Refusal(413, {"code": "PGRST_LOCAL", "details": None, "hint": None, "message": message})
