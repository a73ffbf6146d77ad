"""One HTTP server, on loopback unless told, for `/rest/v1`, `/auth/v1`, `/realtime/v1`; CORS for pages from anywhere.

It is a boundary: every route asks for an API key, errors are JSON, and what is not served is refused as such.
At `/` lies the dashboard, which needs no key and has no CORS (front.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Collection, Iterator, Sequence

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from agent.control.dashboard import Dashboard
from agent.errors import StackError
from agent.localstack.bounds import Bounds, Connection
from agent.localstack.door import EXPOSED, Door, broken, left
from agent.localstack.front import Front, OwnNames
from agent.localstack.listen import Listen
from agent.localstack.refusal import Refusal, not_implemented
from agent.localstack.rest import Rest

log = structlog.get_logger()

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PORTS_TRIED = 50
WS_MAX_BYTES = 5_000_000
KEEP_ALIVE_S = 75
MOST_CONNECTIONS = 2000
"""Open ones; who comes then is told 503."""
GRACE_S = 3


def application(
    routes: Sequence[BaseRoute],
    *,
    rest: Rest | None = None,
    dashboard: Dashboard | None = None,
    names: Collection[str] = (),
    any_address: bool = False,
) -> ASGIApp:
    """The ASGI application around `routes`, behind `rest` and `dashboard`; `names`, `any_address`: OwnNames'."""
    every = [method for method in METHODS if method != "OPTIONS"]
    handlers = {Refusal: _refused, HTTPException: _not_served, ClientDisconnect: _left, Exception: _broken}
    app: ASGIApp = Starlette(
        routes=[*routes, Route("/{rest:path}", _unknown, methods=every)],
        middleware=[
            *([Middleware(Front, dashboard=dashboard)] if dashboard else []),
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=METHODS,
                allow_headers=["*"],
                expose_headers=EXPOSED,
                max_age=3600,
            ),
            Middleware(Bounds),
        ],
        exception_handlers=handlers,  # type: ignore[arg-type]  # Starlette types the handler by Exception
    )
    named = OwnNames(app, names=names, any_address=any_address)
    return Door(named, rest) if rest else named


async def _unknown(request: Request) -> Response:
    raise not_implemented(f"{request.method} {request.url.path}")


async def _refused(_: Request, err: Refusal) -> Response:
    return err.response()


async def _not_served(request: Request, _: HTTPException) -> Response:
    return not_implemented(f"{request.method} {request.url.path}").response()


async def _left(_: Request, __: ClientDisconnect) -> Response:
    return left()


async def _broken(request: Request, err: Exception) -> Response:
    return broken(request.method, request.url.path, err)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the program we are part of."""
        yield


class Gateway:
    """Serves `application(routes)` while started."""

    def __init__(
        self,
        *,
        port: int | None = None,
        next_free: bool = False,
        dashboard: Dashboard | None = None,
        names: Collection[str] = (),
        listen: Listen | None = None,
    ) -> None:
        """`port` None: any free one. `next_free`: when `port` is taken, the next one that is not."""
        self._dashboard = dashboard
        self._listen = listen or Listen()
        self._names = self._listen.names(names)
        self._wanted = port or 0
        self._next_free = next_free
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = self._wanted

    @property
    def url(self) -> str:
        """Base URL, as a Supabase client is given it."""
        return self._listen.url(self.port)

    @property
    def warning(self) -> str | None:
        """What whoever starts it has to be told."""
        return self._listen.warning

    async def start(self, routes: Sequence[BaseRoute], *, rest: Rest | None = None) -> None:
        """Bind and serve; StackError names a port that is taken."""
        tls = self._listen.tls
        if tls:
            tls.check()
        listener = self._bind()
        self.port = int(listener.getsockname()[1])
        if self.warning:
            log.warning(self.warning)
        config = uvicorn.Config(
            application(
                routes,
                rest=rest,
                dashboard=self._dashboard,
                names=self._names,
                any_address=self._listen.exposed,
            ),
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            http=Connection,
            limit_concurrency=MOST_CONNECTIONS,
            log_config=None,
            log_level="warning",  # at INFO uvicorn logs websocket addresses, and an API key is in them
            access_log=False,
            server_header=False,
            proxy_headers=False,  # any page in a browser on this machine can write X-Forwarded-For
            lifespan="off",
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_max_size=WS_MAX_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = _Server(config)
        self._server = server
        self._task = asyncio.create_task(server.serve(sockets=[listener]), name="localstack-gateway")
        while not server.started:
            if self._task.done():
                listener.close()
                raise StackError(f"the gateway did not start on {self.url}: {self._task.exception()}")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop accepting, let answers finish for a moment, close."""
        if self._server and self._task:
            self._server.should_exit = True
            await self._task
            self._server = self._task = None

    def _bind(self) -> socket.socket:
        tries = PORTS_TRIED if self._next_free and self._wanted else 1
        for port in range(self._wanted, self._wanted + tries):
            # With proto=0 asyncio would leave Nagle on: 40 ms on every small answer.
            listener = socket.socket(self._listen.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((self._listen.host, port))
                listener.listen(128)
            except OSError as err:
                listener.close()
                if err.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise StackError(f"the gateway cannot listen on {self._listen.host}:{port}: {err}") from err
                continue
            return listener
        last = f" to {self._wanted + tries - 1}" if tries > 1 else ""
        raise StackError(
            f"port {self._wanted}{last} of {self._listen.host} is in use by another program",
            hint="Choose another port, or stop that program.",
        )
