"""The short way to `/rest/v1`: what most requests want is answered before the layers that everything else goes through.

It keeps what they keep: the limits (bounds.py), CORS, and errors as JSON.
"""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent.localstack.bounds import WHOLE_ANSWER, url_too_long
from agent.localstack.front import OwnNames
from agent.localstack.pgerrors import refusal
from agent.localstack.refusal import Refusal
from agent.localstack.rest import Rest
from agent.localstack.rest.answers import Answer
from agent.localstack.rest.heads import Head

log = structlog.get_logger()

PREFIX = "/rest/v1/"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
EXPOSED = ["Content-Encoding", "Content-Location", "Content-Range", "Content-Type", "Date", "Location", "Range-Unit"]
EXPOSED += ["Preference-Applied", "X-Supabase-Api-Version", "Link", "X-Total-Count", "Retry-After"]
"""Headers that a page from elsewhere may read."""
ANY_ORIGIN = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(EXPOSED).encode()),
]


class Door:
    """ASGI middleware: requests for `/rest/v1` under our own names go to `rest`, and all others on."""

    def __init__(self, app: OwnNames, rest: Rest) -> None:
        self._app = app
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX) or scope["method"] not in METHODS:
            await self._app(scope, receive, send)
            return
        head = self._rest.head(scope)
        if head.admitted is None:
            head.admitted = self._app.admits(scope)
        asks_whether = scope["method"] == "OPTIONS" and head.origin and "access-control-request-method" in head.headers
        if asks_whether or not head.admitted:
            await self._app(scope, receive, send)
            return
        try:
            refused = head.refused or url_too_long(scope)
            response = refused.response() if refused else await self._rest.answer(scope, receive, head)
        except Refusal as err:
            response = err.response()
        except ClientDisconnect:
            response = left()
        except Exception as err:  # noqa: BLE001 # the boundary: whatever it was, it is answered
            response = broken(scope["method"], scope["path"], err)
        headers = _across_origins(response, head)
        whole = scope.get(WHOLE_ANSWER)
        if whole and isinstance(response, Answer):
            await whole(response.status_code, headers, response.body)
            return
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})


def left() -> Response:
    """Killed or cut off while it was still asking: no fault of ours, and nobody reads this."""
    return Response(status_code=400)


def broken(method: str, path: str, err: Exception) -> Response:
    """A fault of ours, told in the log alone."""
    log.error("the gateway failed to answer", method=method, path=path, exc_info=err)
    return refusal(500, "PGRSTX00", "internal error of the local stack").response()


def _across_origins(response: Response, head: Head) -> list[tuple[bytes, bytes]]:
    """The headers, with those that let pages from anywhere read the answer (as Starlette's CORSMiddleware has them)."""
    headers = response.raw_headers
    varies = [value for name, value in headers if name == b"vary"]
    if varies:
        headers = [(name, value) for name, value in headers if name != b"vary"]
    return [*headers, *(ANY_ORIGIN if head.origin is not None else ()), (b"vary", b", ".join([*varies, b"Origin"]))]
