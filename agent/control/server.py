"""A small server on loopback, in a thread of its own, for `cronmirror dashboard`.

Standard library: what it serves are a dozen files to one person's browser.
"""

from __future__ import annotations

import errno
import functools
import threading
from collections.abc import Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Self
from urllib.parse import unquote, urlsplit

from agent.control.dashboard import Answer, Asked, Dashboard
from agent.control.hosts import is_ours
from agent.errors import PermanentError

HOST = "127.0.0.1"
IDLE_S = 60
"""A connection that says nothing for so long is closed: each holds a thread."""
STOP_WITHIN_S = 0.1


class LoopbackServer:
    """Serves `dashboard` while entered. `port` 0: any free one. `names`: asked under these besides loopback's."""

    def __init__(self, dashboard: Dashboard, port: int, *, names: Collection[str] = ()) -> None:
        self._dashboard = dashboard
        self._port = port
        self._names = names
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it answers; with a slash at its end, as a browser shows it."""
        return f"http://{HOST}:{self._port}/"

    def __enter__(self) -> Self:
        """Raises `PermanentError` naming a port that is taken."""
        try:
            self._server = _Server((HOST, self._port), self._dashboard, self._names)
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                said, hint = "is in use by another program", "Choose another one with --port, or stop that program."
            else:
                said, hint = f"cannot be listened on: {err.strerror}", "Choose another one with --port."
            raise PermanentError(f"port {self._port} of {HOST} {said}", hint=hint) from err
        self._port = self._server.server_address[1]
        serve = functools.partial(self._server.serve_forever, poll_interval=STOP_WITHIN_S)
        threading.Thread(target=serve, name="dashboard", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], dashboard: Dashboard, names: Collection[str]) -> None:
        self.dashboard = dashboard
        self.names = names
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the look-up of our own name that `HTTPServer` does: it can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away is no fault of ours; a traceback in a person's terminal would say it were."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        host = ", ".join(self.headers.get_all("host", []))
        if not is_ours(host, self.server.names):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, f"{host!r} is no name of this machine")
            return
        asked = Asked(
            method=self.command,
            path=unquote(urlsplit(self.path).path),
            host=host,
            if_none_match=self.headers.get("if-none-match", ""),
        )
        answer = self.server.dashboard.answer(asked)
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self._send(answer)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - its signature
        """A line of plain text, and the end of the connection: what was asked may not have been read whole."""
        body = f"{message or HTTPStatus(code).phrase}\n".encode("ascii", "backslashreplace")
        self.close_connection = True
        told = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "connection": "close"}
        told |= {"x-content-type-options": "nosniff", "cache-control": "no-store"}
        unsaid = b"" if self.command == "HEAD" else body
        self._send(Answer(status=code, headers=told, body=unsaid))

    def log_message(self, *_: object) -> None:
        """Nothing: nobody reads it, and it would break the lines of whoever runs us."""
