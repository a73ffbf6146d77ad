"""What stands before the API: the names this machine may be asked under, and the dashboard at `/`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.control.dashboard import Answer, Asked, Dashboard
from agent.control.hosts import is_ours
from agent.localstack.refusal import Refusal

ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)

MOST_ADMITTED = 100
"""Spellings that are remembered: the port may be any."""


class OwnNames:
    """ASGI middleware: whoever asks under another name is refused, be it HTTP or a websocket (agent.control.hosts).

    `names` are further ones; with `any_address` every IP address is: only names can be made to point elsewhere.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str], any_address: bool = False) -> None:
        self._app = app
        self._names = names
        self._any_address = any_address
        self._admitted: set[str] = set()

    def admits(self, scope: Scope) -> bool:
        """Whether it was asked under a name of this machine."""
        host = host_of(scope)
        return host in self._admitted or self._admits(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 421 in the API's shape."""
        if self.admits(scope):
            await self._app(scope, receive, send)
            return
        message = f"{host_of(scope)[:200]!r} is no name of this machine"
        hint = "Ask under 127.0.0.1 or localhost."
        body = {"code": "PGRST_LOCAL", "details": None, "hint": hint, "message": message}
        await Refusal(421, body).response()(scope, receive, send)

    def _admits(self, host: str) -> bool:
        admitted = is_ours(host, self._names) or (self._any_address and _is_address(host))
        if admitted and len(self._admitted) < MOST_ADMITTED:
            self._admitted.add(host)
        return admitted


class Front:
    """ASGI middleware: what the dashboard has an answer for never reaches the API, and has no CORS."""

    def __init__(self, app: ASGIApp, *, dashboard: Dashboard) -> None:
        self._app = app
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        answer = self._dashboard.answer(asked_of(scope)) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await response_of(answer)(scope, receive, send)


def _is_address(host: str) -> bool:
    bracketed = ADDRESS.fullmatch(host)
    try:
        return bracketed is not None and bool(ipaddress.ip_address(bracketed["six"] or bracketed["four"]))
    except ValueError:
        return False


def host_of(scope: Scope) -> str:
    """The `Host` header; two of them are none that `is_ours`."""
    return b", ".join([value for name, value in scope["headers"] if name == b"host"]).decode("latin-1")


def asked_of(scope: Scope) -> Asked:
    """An HTTP request in the dashboard's words."""
    if_none_match = Headers(scope=scope).get("if-none-match", "")
    asked = Asked(method=scope["method"], path=scope["path"], host=host_of(scope), if_none_match=if_none_match)
    return replace(asked, scheme=scope.get("scheme", "http"))


def response_of(answer: Answer) -> Response:
    """The dashboard's answer, as it is."""
    return Response(answer.body, answer.status, headers=dict(answer.headers))
