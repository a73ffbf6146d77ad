"""Links that open the dashboard signed in: each is a code that only this process knows.

The session is made when the link is opened, so that it is fresh however late that is, and another one in each browser:
two that shared a refresh token would sign each other out.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.control.dashboard import Dashboard
from agent.localstack.auth import Auth
from agent.localstack.front import asked_of, response_of

UNKNOWN = "This link is no longer good: it was for one time only, or the stack has been started anew since.\n"


class Invitations:
    """Knows which code stands for whom."""

    def __init__(self, auth: Auth, dashboard: Dashboard) -> None:
        self._auth = auth
        self._dashboard = dashboard
        self._guests: dict[str, UUID] = {}
        self._once: set[str] = set()

    def path(self, user_id: UUID, *, once: bool) -> str:
        """A new path to open; `once`: the first who does is the last."""
        code = secrets.token_urlsafe(16)
        self._guests[code] = user_id
        if once:
            self._once.add(code)
        return f"/open/{code}"

    def route(self) -> Route:
        """The route that opens them."""
        return Route("/open/{code}", self._open, methods=["GET"])

    async def _open(self, request: Request) -> Response:
        code, asked = request.path_params["code"], asked_of(request.scope)
        user_id = self._guests.get(code)
        if user_id is None:
            return PlainTextResponse(UNKNOWN, 404)
        if not self._dashboard.built:  # those words look again by themselves: the link opens the page once it is there
            return response_of(self._dashboard.unbuilt(asked))
        if request.method == "HEAD":
            return response_of(self._dashboard.redirect(asked, "/"))
        if code in self._once:
            del self._guests[code]
        session = await self._auth.session_of(user_id)
        tokens = {name: session[name] for name in ("access_token", "refresh_token")}
        return response_of(self._dashboard.redirect(asked, f"/#/signin?{urlencode(tokens)}"))
