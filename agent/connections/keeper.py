"""The keeper of tokens: one refresh at a time per connection, among all tasks and processes of this box.

Whoever wants a fresh token waits for the refresh that is under way and takes what came of it. New tokens are durable
before anybody gets them; only then is the old refresh token, which the provider may have ended, given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from agent.connections import policy
from agent.connections.given import no_token, why_held
from agent.connections.ledger import Ledger
from agent.errors import StateError
from agent.model import (
    INVALID_GRANT,
    OTHER_ACCOUNT,
    Connection,
    Failure,
    FailureKind,
    GivenToken,
    Job,
    Refreshed,
    Standing,
    Thresholds,
    Tokens,
)
from agent.ports import Clock, ConnectionHolds, Connections, ConnectionStore, OAuth, Reconnection, RunTokens, Standings

RUN_PATIENCE_S = 10.0
"""A run whose token works for longer waits no longer for a fresher one; the refresh goes on."""
RUN_PAUSES_S = (1.0, 2.0)
"""A run without a token that works tries again after these: one failure of a call says little."""

Due = Callable[[Tokens, datetime], bool]
Learn = Callable[[str, Sequence[str]], None]
"""Hides the secrets of a connection, which take the place of older ones, from all output; before they are used."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one look at a connection."""

    outcome: Refreshed
    tokens: Tokens | None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """Who wants what: `due` says whether the tokens are to be replaced."""

    due: Due
    forced: bool = False
    """Also where a person is needed, or the next try is still to come."""


def _always(_tokens: Tokens, _now: datetime) -> bool:
    return True


class Keeper(ConnectionHolds, RunTokens, Reconnection, Standings):
    """Keeps connections. `close` it before the process ends: an answer under way may hold the only refresh token."""

    def __init__(
        self,
        calls: OAuth,
        store: ConnectionStore,
        connections: Connections,
        ledger: Ledger,
        clock: Clock,
        *,
        thresholds: Callable[[], Thresholds],
        learn: Learn,
    ) -> None:
        self._calls = calls
        self._store = store
        self._connections = connections
        self._ledger = ledger
        self._clock = clock
        self._thresholds = thresholds
        self._learn = learn
        self._flights: dict[str, asyncio.Task[Attempt]] = {}
        self._rest_until: dict[str, float] = {}
        self._unsaved: dict[str, tuple[Tokens, Tokens | None]] = {}
        """Received, and the disk did not take them; and what it had then, which they replace."""

    # ── what others ask ─────────────────────────────────────────────────────

    def held(self, job: Job) -> bool:
        """Whether the job waits for a person to sign in."""
        connection = self._connections.get(job.connection) if job.connection else None
        return connection is not None and self._ledger.get(connection).needs_reauth

    def standings(self) -> Sequence[Standing]:
        """Of every connection, in file order."""
        return self._ledger.all()

    async def next_change(self, revision: int) -> int:
        """The new revision as soon as anything stands otherwise."""
        return await self._ledger.next_change(revision)

    async def load(self) -> None:
        """Read everything that is on disk: tokens, so that they are hidden from now on, and standings."""
        for connection in self._connections.all():
            try:
                await self._state(connection)
            except StateError as err:
                log.warning("a connection cannot be read", connection=connection.connection_id, error=str(err))

    async def look_after(self, connection: Connection, due: Due) -> Attempt:
        """Refresh the tokens if they are due. Raises `StateError`."""
        if connection.connection_id not in self._unsaved:
            tokens = await self._tokens(connection)
            if tokens is not None and not due(tokens, self._clock.now()):
                return Attempt(outcome=Refreshed.SKIPPED, tokens=tokens)
        return await self._attempt(connection, _Wish(due=due))

    async def refresh_now(self, connection_id: str) -> Refreshed:
        """Refresh whatever their age. Raises `StateError`."""
        connection = self._connections.get(connection_id)
        if connection is None:
            return Refreshed.SKIPPED
        return (await self._attempt(connection, _Wish(due=_always, forced=True))).outcome

    async def accept(self, connection_id: str, tokens: Tokens, *, other_account_ok: bool = False) -> Failure | None:
        """A person has signed in: keep the tokens, release held jobs. Raises `StateError`."""
        connection = self._connections.get(connection_id)
        if connection is None:
            message = f'There is no connection "{connection_id}" in the YAML any more.'
            return Failure(kind=FailureKind.PERMANENT, code="unknown_connection", message=message)
        self._learn(connection_id, _secrets(tokens))
        async with self._locked(connection, mend=True) as (_, standing):
            before, now = standing.account, tokens.account
            if before and now and before != now and not other_account_ok:
                message = f"Signed in as {now}, another account than {before}, whom the connection belongs to."
                return Failure(kind=FailureKind.PERMANENT, code=OTHER_ACCOUNT, message=message)
            await self._succeed(connection, tokens, standing)
        return None

    async def forget(self, connection_id: str) -> Tokens | None:
        """Forget the tokens; what they were. Raises `StateError`."""
        connection = self._connections.get(connection_id)
        if connection is None:
            return None
        async with self._locked(connection, mend=True) as (tokens, standing):
            await self._store.forget_tokens(connection_id)
            await self._ledger.put(policy.signed_out(standing, "Signed out."))
        return tokens

    async def close(self) -> None:
        """Return when no refresh is under way any more; each is bounded by its call's own time limit."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    # ── the token of a run ──────────────────────────────────────────────────

    async def token_for(self, job: Job) -> GivenToken | None:
        """Fresh for a run that begins now, where that can be had."""
        if job.connection is None:
            return None
        connection = self._connections.get(job.connection)
        if connection is None:
            return GivenToken(variable="", problem=f'There is no connection "{job.connection}" in the YAML.')
        try:
            return await self._given(connection, job)
        except StateError as err:
            return no_token(connection, f"The tokens of {job.connection} cannot be read: {err}")

    async def _given(self, connection: Connection, job: Job) -> GivenToken:
        if self.held(job):  # unless somebody has just signed in, in another process
            _, standing = await self._state(connection)
            if standing.needs_reauth:
                return no_token(connection, why_held(standing), needs_reauth=True)
        tokens, failure = await self._freshest(connection, job)
        if tokens is None:
            why = failure.message if failure else "Nobody has signed in yet."
            return no_token(connection, f"There is no token of {connection.connection_id}: {why}")
        self._ledger.used(connection)
        problem = f"The token could not be refreshed and is used as it is: {failure.message}" if failure else None
        return GivenToken(
            variable=connection.env,
            hand_over=connection.hand_over,
            token_type=tokens.token_type,
            token=tokens.access_token,
            problem=problem,
        )

    async def _freshest(self, connection: Connection, job: Job) -> tuple[Tokens | None, Failure | None]:
        """The best that can be had now, and why there is no better one."""

        def due(tokens: Tokens, now: datetime) -> bool:
            return policy.due_for_run(tokens, now, job.timeout_s, self._thresholds())

        tokens = await self._tokens(connection)
        for pause_s in (*RUN_PAUSES_S, None):
            works = policy.lasts(tokens, self._clock.now(), RUN_PATIENCE_S)
            if tokens is not None and not due(tokens, self._clock.now()):
                return tokens, None
            attempt = await self._within(connection, due, RUN_PATIENCE_S if works else None)
            tokens, failure = attempt.tokens or tokens, attempt.failure
            hopeless = failure is None or failure.kind is FailureKind.PERMANENT or failure.retry_after_s
            if works or hopeless or pause_s is None:
                break
            await self._clock.sleep(pause_s)
        return tokens, failure

    async def _within(self, connection: Connection, due: Due, seconds: float | None) -> Attempt:
        """Look after it, and wait no longer than that for what comes of it."""
        look = asyncio.ensure_future(self.look_after(connection, due))
        if seconds is None:
            return await look
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((look, timer), return_when=asyncio.FIRST_COMPLETED)
            if look.done():
                return look.result()
        finally:
            timer.cancel()
            look.cancel()  # the flight itself is shielded
        slow = Failure(kind=FailureKind.TRANSIENT, code="slow", message="The provider has not answered yet.")
        return Attempt(outcome=Refreshed.FAILED, tokens=None, failure=slow)

    # ── one at a time ───────────────────────────────────────────────────────

    async def _attempt(self, connection: Connection, wish: _Wish) -> Attempt:
        """Join the flight under way; where that saw no need and we do, begin another."""
        name = connection.connection_id
        while (flight := self._flights.get(name)) is not None:
            attempt = await asyncio.shield(flight)
            if attempt.outcome is not Refreshed.SKIPPED:
                return attempt
        flight = asyncio.create_task(self._alone(connection, wish), name=f"refresh {name}")
        self._flights[name] = flight
        flight.add_done_callback(self._landed)
        return await asyncio.shield(flight)

    def _landed(self, flight: asyncio.Task[Attempt]) -> None:
        for name in [name for name, each in self._flights.items() if each is flight]:
            del self._flights[name]
        if not flight.cancelled() and (err := flight.exception()) is not None:  # perhaps nobody waits any more
            log.warning("a connection could not be looked after", error=str(err))

    async def _alone(self, connection: Connection, wish: _Wish) -> Attempt:
        """The whole of it, with the lock of all processes."""
        seen = await self._store.standing(connection.connection_id)
        async with self._locked(connection) as (tokens, standing):
            if tokens is not None and not wish.due(tokens, self._clock.now()):
                return Attempt(outcome=Refreshed.SKIPPED, tokens=tokens)
            if not policy.renewable(connection, tokens):
                return await self._cannot(tokens, standing)
            if not wish.forced and (why := self._reason_to_wait(connection, tokens, seen, standing)):
                return Attempt(outcome=Refreshed.SKIPPED, tokens=tokens, failure=why)
            return await self._renew(connection, tokens, standing, wish.due)

    def _reason_to_wait(
        self, connection: Connection, tokens: Tokens | None, seen: Standing | None, standing: Standing
    ) -> Failure | None:
        """Why the provider is not asked now; what it said last stands for what it would say."""
        now = self._clock.now()
        kind = standing.last_failure_kind or FailureKind.PERMANENT
        last = Failure(kind=kind, code="earlier", message=standing.last_refresh_error or "Somebody has to sign in.")
        if standing.needs_reauth:
            return replace(last, kind=FailureKind.PERMANENT)
        if standing.retry_at is not None and standing.retry_at > now:
            return replace(last, retry_after_s=(standing.retry_at - now).total_seconds())
        if _failures(standing) > _failures(seen):  # another process has just tried, while we waited
            return last
        works = policy.lasts(tokens, now, RUN_PATIENCE_S)
        resting = self._rest_until.get(connection.connection_id, 0.0) > self._clock.monotonic()
        return last if works and resting else None

    async def _renew(self, connection: Connection, tokens: Tokens | None, standing: Standing, due: Due) -> Attempt:
        """Ask the provider; keep what it gives before anybody has it."""
        answer = await self._calls.renew(connection, tokens)
        if isinstance(answer, Failure) and answer.code == INVALID_GRANT:
            newer = await self._tokens(connection)
            if newer is not None and tokens is not None and newer.refresh_token != tokens.refresh_token:
                log.info("the refresh token was replaced meanwhile", connection=connection.connection_id)
                tokens = newer
                fresh = not due(newer, self._clock.now())
                answer = newer if fresh else await self._calls.renew(connection, newer)
        if isinstance(answer, Failure):
            return await self._fail(connection, answer, tokens, standing)
        fresh_tokens = _carried(answer, tokens)
        await self._succeed(connection, fresh_tokens, standing)
        log.info("token refreshed", connection=connection.connection_id, expires_at=_said(fresh_tokens.expires_at))
        return Attempt(outcome=Refreshed.REFRESHED, tokens=fresh_tokens)

    async def _succeed(self, connection: Connection, tokens: Tokens, standing: Standing) -> None:
        name = connection.connection_id
        self._learn(name, _secrets(tokens))
        self._unsaved[name] = tokens, await self._stored(name)
        try:
            await self._store.keep_tokens(name, tokens)
        except StateError as err:
            log.warning("new tokens cannot be written down; trying again soon", connection=name, error=str(err))
            raise
        self._unsaved.pop(name, None)
        self._rest_until.pop(name, None)
        await self._ledger.put(policy.after_success(standing, tokens))

    async def _fail(
        self, connection: Connection, failure: Failure, tokens: Tokens | None, standing: Standing
    ) -> Attempt:
        after = policy.after_failure(standing, failure, self._clock.now(), self._thresholds())
        rest_s = policy.backoff_s(after.consecutive_transient_failures)
        self._rest_until[connection.connection_id] = self._clock.monotonic() + rest_s
        say = log.error if after.needs_reauth else log.warning
        say("token not refreshed", connection=connection.connection_id, kind=failure.kind, why=failure.message)
        await self._ledger.put(after)
        return Attempt(outcome=Refreshed.FAILED, tokens=tokens, failure=failure)

    async def _cannot(self, tokens: Tokens | None, standing: Standing) -> Attempt:
        """Nothing to refresh with: what there is, is used until it expires; then a person is needed."""
        if tokens is not None and not policy.expired(tokens, self._clock.now()):
            return Attempt(outcome=Refreshed.SKIPPED, tokens=tokens)
        if not standing.needs_reauth:
            why = "Nobody has signed in yet."
            out = policy.dead_end(standing, tokens) if tokens else policy.signed_out(standing, why)
            await self._ledger.put(out)
            standing = out
        message = standing.last_refresh_error or "Nobody has signed in yet."
        failure = Failure(kind=FailureKind.PERMANENT, code="signed_out", message=message)
        return Attempt(outcome=Refreshed.SKIPPED, tokens=tokens, failure=failure)

    async def _state(self, connection: Connection) -> tuple[Tokens | None, Standing]:
        """What is stored of it."""
        tokens = await self._tokens(connection)
        return tokens, await self._ledger.read(connection, tokens)

    async def _tokens(self, connection: Connection) -> Tokens | None:
        """What is stored now, hidden from output from now on."""
        tokens = await self._store.tokens(connection.connection_id)
        if tokens is not None:
            self._learn(connection.connection_id, _secrets(tokens))
        return tokens

    async def _stored(self, name: str) -> Tokens | None:
        """What is stored and can be read."""
        with suppress(StateError):
            return await self._store.tokens(name)
        return None

    @asynccontextmanager
    async def _locked(
        self, connection: Connection, *, mend: bool = False
    ) -> AsyncIterator[tuple[Tokens | None, Standing]]:
        """Alone with it, and with what is stored; before that, what the disk did not take is written.

        `mend`: damaged tokens are as good as none, for they are replaced.
        """
        name = connection.connection_id
        async with self._store.lock(name):
            if name in self._unsaved:
                unsaved, replaced = self._unsaved[name]
                if await self._stored(name) == replaced:  # else somebody has signed in meanwhile
                    await self._store.keep_tokens(name, unsaved)
                del self._unsaved[name]
            if mend:
                tokens = await self._stored(name)
                yield tokens, await self._ledger.read(connection, tokens)
            else:
                yield await self._state(connection)


def _carried(answer: Tokens, old: Tokens | None) -> Tokens:
    """What an answer leaves out has not changed (RFC 6749, 5.1 and 6)."""
    if old is None:
        return answer
    same = answer.refresh_token in (None, old.refresh_token)
    return replace(
        answer,
        refresh_token=answer.refresh_token or old.refresh_token,
        refresh_expires_at=answer.refresh_expires_at or (old.refresh_expires_at if same else None),
        scopes=answer.scopes or old.scopes,
        account=answer.account or old.account,
    )


def _secrets(tokens: Tokens) -> Sequence[str]:
    return [each for each in (tokens.access_token, tokens.refresh_token) if each]


def _failures(standing: Standing | None) -> int:
    return standing.consecutive_failures + standing.consecutive_transient_failures if standing else 0


def _said(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
