"""Where the browser comes back to: a server on loopback for one sign-in (RFC 8252 §7.3).

It listens on 127.0.0.1 alone, takes only a redirect that carries the sign-in's own state, and only one.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from agent.errors import Refused

PATH: Final = "/callback"
HOST: Final = "127.0.0.1"
_PATIENCE_S: Final = 10.0
"""For a browser that has connected and says nothing."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Cronmirror</title>
<style>body{{font:16px system-ui;margin:20vh auto;max-width:30em;padding:0 1em}}</style>
<h1>{heading}</h1><p>{text}</p></html>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class Landing:
    """What the browser brought along: a code, or why there is none."""

    code: str | None = field(default=None, repr=False)
    error: str | None = None
    """The provider's word (`access_denied`) and what it says."""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str, state: str) -> Landing | None:
        """What the address says at which the browser ended; None where it is not of this sign-in."""
        parameters = dict(parse_qsl(urlsplit(url).query))
        if not hmac.compare_digest(parameters.get("state", "").encode(), state.encode()):
            return None
        if parameters.get("code"):
            return cls(code=parameters["code"], parameters=parameters)
        error = parameters.get("error")
        if not error:
            return None
        said = parameters.get("error_description")
        return cls(error=f"{error}: {said}" if said else error, parameters=parameters)


class Redirect:
    """Listens from construction until `close`. `uri` is what the provider is told."""

    def __init__(self, port: int | None = None) -> None:
        """Raises `Refused` where the port is taken."""
        try:
            self._server = _Server((HOST, port or 0), _Handler)
        except OSError as err:
            raise Refused(
                f"port {port} is not free ({err.strerror})", hint="End what uses it, or change `redirect_port`."
            ) from err
        self.uri = f"http://{HOST}:{self._server.server_address[1]}{PATH}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="oauth redirect", daemon=True)

    async def landing(self, state: str, timeout_s: float) -> Landing | None:
        """The landing of the sign-in with this state, or None after `timeout_s`."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Landing] = loop.create_future()

        def settle(landing: Landing) -> None:
            if not found.done():
                found.set_result(landing)

        def landed(landing: Landing) -> None:
            loop.call_soon_threadsafe(settle, landing)

        self._server.expect(state, landed)
        self._thread.start()
        try:
            return await asyncio.wait_for(found, timeout_s)
        except TimeoutError:
            return None

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False
    state = ""
    landed: Any = None

    def expect(self, state: str, landed: Any) -> None:
        self.state, self.landed = state, landed

    def server_bind(self) -> None:
        """Without the look-up of our own name that `HTTPServer` does: it can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE_S
    server: _Server

    def do_GET(self) -> None:  # the base class' name
        landing = Landing.of(self.path, self.server.state) if urlsplit(self.path).path == PATH else None
        if landing is None:
            self._say(404, "Nothing here", "This address only takes the answer of a sign-in that has just begun.")
            return
        if landing.code:
            self._say(200, "Signed in", "You can close this window; the terminal says how it went on.")
        else:
            self._say(200, "Not signed in", "The provider gave no access. The terminal says more.")
        self.server.landed(landing)

    def _say(self, status: int, heading: str, text: str) -> None:
        body = _PAGE.format(heading=heading, text=text).encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def version_string(self) -> str:
        return "cronmirror"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class' name
        """Codes are in these lines: they are written nowhere."""
