"""One way to call a project's database: the supabase client over our warm pool, our time limits, our errors.

Refreshes the token once on a 401, repeats once at once on a connection that had gone stale; retries nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx
from postgrest import AsyncPostgrestClient
from supabase import AsyncClient, AsyncClientOptions

from agent.adapters.supabase.grants import key_refused, wrong_key
from agent.adapters.supabase.session import Session
from agent.adapters.supabase.target import Target
from agent.adapters.supabase.transport import TIMEOUT_S, URL_HINT, HttpFailure, network_failure
from agent.errors import CronmirrorError, Forgotten, Refused, SchemaMissing, SessionExpired, Unreachable
from agent.model import Json

WHOLE_CALL_S: Final = 2 * TIMEOUT_S
"""The limits of `transport` are per silence: an answer that drips for ever ends here."""
STALE_CONNECTION: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
"""What a kept connection raises when the server had closed it meanwhile."""
MISSING_CODES: Final = frozenset({"PGRST202", "PGRST205", "42883", "42P01"})
"""No such function or table (https://docs.postgrest.org/en/stable/references/errors.html)."""

FORGOTTEN_CODE: Final = "55000"
"""docs/rpc.md: an epoch that the server never gave out. PostgREST answers it with 500."""

Ask = Callable[[AsyncPostgrestClient], Awaitable[Any]]


class Database:
    """`/rest/v1` of one project as the signed-in user.

    Every call raises `Unreachable`, `SessionExpired`, `NeedsSignIn`, `SchemaMissing` or `Refused`.
    """

    def __init__(self, target: Target, session: Session, http: httpx.AsyncClient) -> None:
        self._target = target
        self._session = session
        options = AsyncClientOptions(
            auto_refresh_token=False, persist_session=False, postgrest_client_retry=False, httpx_client=http
        )
        self._client = AsyncClient(target.url, target.key, options)

    async def rpc(self, name: str, args: Mapping[str, Json], *, repeatable: bool = True) -> dict[str, Json]:
        """Call a function of docs/rpc.md; its one JSON object."""
        answer = await self.ask(lambda rest: rest.rpc(name, dict(args)).execute(), name, repeatable=repeatable)
        if not isinstance(answer, dict):
            raise self._not_supabase(name)
        return answer

    async def ask(self, ask: Ask, what: str, *, repeatable: bool) -> Json:
        """Run a query built on the postgrest client; the answer's JSON.

        `repeatable`: it may arrive twice without harm, so a stale connection is worth a second try.
        """
        token = await self._within(self._session.token(), what)
        try:
            return await self._sent(ask, what, token, repeatable=repeatable)
        except SessionExpired:
            fresh = await self._within(self._session.renew(token), what)
            if fresh == token:
                raise
            return await self._sent(ask, what, fresh, repeatable=repeatable)

    async def _within(self, waiting: Awaitable[str], what: str) -> str:
        """A sign-in that waits for the network must not hold its callers: they have poorer news to spread."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await waiting
        except TimeoutError as err:
            why = self._session.problem or "the sign-in takes too long"
            raise Unreachable(f"{what}: not signed in: {why}") from err

    async def _sent(self, ask: Ask, what: str, token: str, *, repeatable: bool) -> Json:
        try:
            return await self._once(ask, what, token)
        except STALE_CONNECTION as err:
            if not repeatable:
                raise network_failure(err, self._target.url, what) from err
        try:
            return await self._once(ask, what, token)
        except STALE_CONNECTION as err:
            raise network_failure(err, self._target.url, what) from err

    async def _once(self, ask: Ask, what: str, token: str) -> Json:
        rest = self._client.postgrest.auth(token)
        try:
            async with asyncio.timeout(WHOLE_CALL_S):
                return (await ask(rest)).data
        except HttpFailure as failure:
            raise self._meaning(failure, what) from failure
        except STALE_CONNECTION:
            raise
        except (TimeoutError, httpx.RequestError, httpx.InvalidURL) as err:
            raise network_failure(err, self._target.url, what) from err
        except (ValueError, TypeError) as err:  # NaN, lone surrogates: postgrest encodes strictly
            raise Refused(f"{what}: the arguments are no JSON ({err}).", code="encoding", status=400) from err

    def _meaning(self, failure: HttpFailure, what: str) -> CronmirrorError:
        code, status = failure.code, failure.status
        if code in MISSING_CODES:
            said = f"{self._target.url} has no (or an older) Cronmirror schema: {failure.text}"
            return SchemaMissing(said, hint="Run `cronmirror migrate` against this project's database.")
        if wrong_key(failure):
            return key_refused(self._target.url, failure)
        if code == "42501" or status == 403:  # noqa: PLR2004 - RFC 9110 §15.5.4
            return Refused(f"{what}: {failure.text}.", code=code, status=status, hint=self._refusal_hint(failure))
        if status == 401:  # noqa: PLR2004 - RFC 9110 §15.5.2
            return SessionExpired(f"{what}: {self._target.url} did not accept the access token ({failure.text}).")
        if code == FORGOTTEN_CODE:
            return Forgotten(f"{what}: {failure.text}.")
        if failure.temporary:
            return failure.unreachable(self._target.url, what)
        return Refused(f"{what}: {failure.text}.", code=code, status=status, hint=failure.hint)

    def _refusal_hint(self, failure: HttpFailure) -> str:
        email = self._session.email
        if failure.status == 401 or email is None:  # noqa: PLR2004 - RFC 9110 §15.5.2
            return "Sign in: run `cronmirror login`."
        todo = failure.hint or "An admin of the project gives it another role (or binds this agent id to it)."
        return f"Signed in as {email}. {todo} To be somebody else, run `cronmirror login`."

    def _not_supabase(self, what: str) -> Unreachable:
        said = f"{what}: {self._target.url} answered something that is not JSON, which Supabase never does."
        return Unreachable(said, hint=URL_HINT)
