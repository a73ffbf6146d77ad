"""Signs a connection in again for somebody on a page: makes the address, keeps state and verifier, exchanges the code.

Each request is a task of its own, so that a slow provider holds up nobody else. What is begun is remembered in memory
only: after a restart the person presses Reconnect again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog

from agent.errors import CredentialsError, CronmirrorError, StateError, TemporaryError
from agent.model import (
    OTHER_ACCOUNT,
    Connection,
    Failure,
    Grant,
    ReconnectAnswer,
    ReconnectRequest,
    ReconnectStatus,
    Refreshed,
    SignIn,
    Tokens,
)
from agent.ports import Clock, ConnectionCalls, Connections, OAuth, Reconnection

AGAIN_S = 5.0
"""Between two tries to tell the server what it could not hear."""
RESTARTED = "The agent was restarted meanwhile: press Reconnect again."

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Whom a sign-in needs."""

    oauth: OAuth
    connections: Connections
    reconnection: Reconnection
    calls: ConnectionCalls
    report: Callable[[], Awaitable[None]]
    """Shows how the connections stand now; never raises our errors."""


class Reconnects:
    """Answers what people ask. `attend` takes the requests that are open; `close` ends what is under way."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._begun: dict[UUID, SignIn] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def attend(self, requests: Sequence[ReconnectRequest]) -> None:
        """Begin whatever each of these needs next; what is not among them any more is over. Does not block."""
        still_open = {request.id for request in requests}
        for request_id in self._begun.keys() - still_open:
            del self._begun[request_id]
        for request_id in self._tasks.keys() - still_open:
            self._tasks.pop(request_id).cancel()
        for request in requests:
            if request.id not in self._tasks and (step := self._next(request)) is not None:
                task = asyncio.create_task(self._guarded(request, step), name=f"reconnect {request.connection_id}")
                self._tasks[request.id] = task
                task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End them; who waits is told by the request's expiry."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _next(self, request: ReconnectRequest) -> Coroutine[Any, Any, ReconnectAnswer] | None:
        """What to do now; None: it is the person's turn."""
        if request.status is ReconnectStatus.ASKED:
            return self._begin(request)
        if request.status is ReconnectStatus.GIVEN and request.id in self._begun and request.code_waits:
            return self._finish(request, self._begun.pop(request.id))
        return None if request.id in self._begun else _restarted()

    def _ended(self, task: asyncio.Task[None]) -> None:
        for request_id in [request_id for request_id, each in self._tasks.items() if each is task]:
            del self._tasks[request_id]

    async def _guarded(self, request: ReconnectRequest, step: Coroutine[Any, Any, ReconnectAnswer]) -> None:
        """Whatever goes wrong, the person who waits hears of it."""
        try:
            answer = await step
        except CronmirrorError as error:
            answer = ReconnectAnswer(error=str(error))
        except Exception:
            log.exception("a reconnect failed", connection=request.connection_id)
            answer = ReconnectAnswer(error="The agent failed; its log says why.")
        if answer.error is not None:
            log.warning("reconnect failed", connection=request.connection_id, error=answer.error)
        await self._say(request, answer)

    async def _begin(self, request: ReconnectRequest) -> ReconnectAnswer:
        connection = self._desk.connections.get(request.connection_id)
        if connection is None:
            return ReconnectAnswer(error="This connection is not in the agent's configuration any more.")
        if connection.grant is Grant.CLIENT_CREDENTIALS:
            return await self._renew(connection)
        if connection.grant is Grant.DEVICE_CODE or (request.redirect_uri is None and connection.device_url):
            return await self._by_device(request, connection)
        redirect_uri = request.redirect_uri or connection.redirect_uri
        if redirect_uri is None:
            return ReconnectAnswer(error="The page did not say where the provider shall send the browser.")
        sign_in = self._begun.get(request.id) or self._desk.oauth.sign_in(connection, redirect_uri)
        self._begun[request.id] = sign_in
        return ReconnectAnswer(sign_in=sign_in)

    async def _renew(self, connection: Connection) -> ReconnectAnswer:
        """Nobody signs in here: a new token is all that can be had."""
        if await self._desk.reconnection.refresh_now(connection.connection_id) is Refreshed.REFRESHED:
            await self._desk.report()
            return ReconnectAnswer()
        return ReconnectAnswer(error="The provider gave no token for these credentials; the connection says why.")

    async def _by_device(self, request: ReconnectRequest, connection: Connection) -> ReconnectAnswer:
        prompt = await self._desk.oauth.begin_device(connection)
        if isinstance(prompt, Failure):
            return ReconnectAnswer(error=prompt.message)
        if not await self._say(request, ReconnectAnswer(device=prompt)):
            return ReconnectAnswer(error="It was over before it began.")
        return await self._accept(request, await self._desk.oauth.finish_device(connection, prompt))

    async def _finish(self, request: ReconnectRequest, sign_in: SignIn) -> ReconnectAnswer:
        connection = self._desk.connections.get(request.connection_id)
        if connection is None:
            return ReconnectAnswer(error="This connection is not in the agent's configuration any more.")
        handed = await self._desk.calls.take_code(request.id)
        if not handed:
            return ReconnectAnswer(error="The code was lost on its way: press Reconnect again.")
        code, account = _read(handed, connection.account_parameter)
        return await self._accept(request, await self._desk.oauth.exchange(connection, sign_in, code, account=account))

    async def _accept(self, request: ReconnectRequest, got: Tokens | Failure) -> ReconnectAnswer:
        if isinstance(got, Failure):
            return ReconnectAnswer(error=got.message)
        try:
            failure = await self._desk.reconnection.accept(
                request.connection_id, got, other_account_ok=request.other_account_ok
            )
        except StateError as error:
            return ReconnectAnswer(error=f"The tokens could not be stored: {error}")
        if failure is not None:
            other = "This is another account: " if failure.code == OTHER_ACCOUNT else ""
            return ReconnectAnswer(error=other + failure.message)
        log.info("reconnected", connection=request.connection_id)
        await self._desk.report()
        return ReconnectAnswer()

    async def _say(self, request: ReconnectRequest, answer: ReconnectAnswer) -> bool:
        """Until it is heard or the request is over; whether the server took it."""
        while self._clock.now() < request.expires_at:
            try:
                return await self._desk.calls.answer_reconnect(request.id, answer)
            except (TemporaryError, CredentialsError) as error:
                log.debug("a reconnect's answer was not heard; trying again", error=str(error))
                await self._clock.sleep(AGAIN_S)
            except CronmirrorError as error:
                log.warning("a reconnect's answer was refused", error=str(error), hint=error.hint)
                return False
        return False


async def _restarted() -> ReconnectAnswer:
    return ReconnectAnswer(error=RESTARTED)


def _read(handed: str, account_parameter: str | None) -> tuple[str, str | None]:
    """The code, and the account where the redirect named it: the page hands over the whole query then (`?code=…`)."""
    if not handed.startswith("?"):
        return handed, None
    query = parse_qs(handed[1:])
    account = query.get(account_parameter, [None])[0] if account_parameter else None
    return query.get("code", [""])[0], account
