"""The agent's sign-in: one session, refreshed ahead of its expiry by the wall clock, for as long as the process lives.

Ours and not supabase_auth's: that one keeps monotonic timers (asleep with the Mac), gives up after ten network errors,
removes a stored session when the network is down at boot, and refreshes concurrently with one token.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import httpx
import structlog

from agent.adapters.supabase.grants import Denied, Grants, Tokens
from agent.adapters.supabase.target import KeyKind, Target
from agent.errors import CronmirrorError, NeedsSignIn, Unreachable
from agent.ports import Clock

STEP_S: Final = 30.0
"""Longest sleep of the refresher; `wake` cuts it short."""
BACKOFF_S: Final = (1.0, 15.0)
"""No longer than the heartbeat's: after an outage of more than a token's life everything waits for this one."""
SIGN_IN_EVERY_S: Final = 60.0
SIGN_IN_CAP_S: Final = 900.0
LOGIN_HINT: Final = "Run `cronmirror login`, or set supabase.email and supabase.password in the configuration."

_log = structlog.get_logger(__name__)


class Session:
    """Hands out a fresh access token; concurrent callers wait for one refresh.

    `load` and `save` are the session file (save: atomic, 0600, fsynced). Every refresh lives in a task of its own, so
    that a caller who gives up cannot tear a rotation in two. Close with `aclose()`.
    """

    def __init__(
        self,
        target: Target,
        *,
        http: httpx.AsyncClient,
        clock: Clock,
        load: Callable[[], bytes | None],
        save: Callable[[bytes], None],
    ) -> None:
        self._target = target
        self._grants = Grants(target, http)
        self._clock = clock
        self._load = load
        self._save = save
        self._tokens: Tokens | None = None
        self._refused: set[str] = set()
        self._flight: asyncio.Task[None] | None = None
        self._needs: NeedsSignIn | None = None
        self._password_after: datetime | None = None
        self._password_wait_s = SIGN_IN_EVERY_S
        self._listeners: list[Callable[[str], None]] = []
        self._woken = asyncio.Event()
        self.problem: str | None = None
        """Why there is no fresh token at the moment, for people; None when there is one."""
        if target.key_kind is KeyKind.SECRET:
            _log.warning(
                "the configured key passes every access rule",
                hint="Give the agent a user of its own (role agent) and the publishable key instead.",
            )

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with every new access token; it must not block."""
        self._listeners.append(listener)

    @property
    def email(self) -> str | None:
        """Who is signed in, or would be."""
        return self._tokens.email if self._tokens else self._target.email

    async def token(self) -> str:
        """An access token that has not expired; waits for a refresh for as long as the network is down.

        Raises `NeedsSignIn` when nothing stored or configured is accepted.
        """
        if not self._target.signs_in:
            return self._target.key
        if self._tokens is None:
            self._adopt_stored()
        if not self._usable():
            await self._refreshed()
        return self._current().access

    async def renew(self, stale: str) -> str:
        """A token other than `stale`, which the server has just answered with 401.

        Refreshes only while `stale` is still the current one. Raises `NeedsSignIn`.
        """
        if not self._target.signs_in:
            hint = "Check supabase.key: the key may have been rotated or belong to another project."
            raise NeedsSignIn(f"{self._target.url} does not accept the configured key.", hint=hint)
        self._refused.add(stale)
        return await self.token()

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in once, now, as a person asked; keeps the session. Raises `Unreachable` or `NeedsSignIn`."""
        try:
            self._accept(await self._grants.password(email, password, self._clock.now()))
        except Denied as denied:
            raise _explain(denied, self._target.url, email) from denied

    async def sign_out(self) -> None:
        """Forget the session here, then end it on the server. Raises `Unreachable` (it is forgotten nevertheless)."""
        tokens = self._tokens or self._stored()
        self._tokens = None
        self._save(b"")
        if tokens:
            await self._grants.logout(tokens.access)

    async def run(self) -> None:
        """Refresh ahead of expiry, for ever. Ends by cancellation only, even where there is nothing to refresh."""
        while True:
            if not self._target.signs_in:
                await self._clock.sleep(STEP_S)
                continue
            if self._tokens is None:
                self._adopt_stored()
            if self._due_in_s() <= 0:
                try:
                    await self._refreshed()
                except NeedsSignIn:
                    await self._clock.sleep(STEP_S)
                    self._adopt_stored()
                    continue
            await self._sleep(min(max(self._due_in_s(), 1.0), STEP_S))

    def wake(self) -> None:
        """Look at the wall clock now and sit out no backoff: the machine slept, or the network is back."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def aclose(self) -> None:
        """End a refresh under way."""
        flight, self._flight = self._flight, None
        if flight:
            flight.cancel()
            await asyncio.gather(flight, return_exceptions=True)

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until woken."""
        waits = asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # ── one refresh at a time ────────────────────────────────────────────────

    async def _refreshed(self) -> None:
        if self._needs and self._password_in_s() > 0 and not self._adopt_stored():
            raise self._needs
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._obtain(), name="session refresh")
            self._flight.add_done_callback(_retrieve)
        await asyncio.shield(self._flight)

    async def _obtain(self) -> None:
        tries = 0
        while True:
            try:
                self._accept(await self._next_tokens())
            except Unreachable as err:
                log = _log.debug if self.problem == str(err) else _log.warning
                self.problem = str(err)
                tries += 1
                wish_s = err.retry_after_s
                wait_s = _backoff(tries) if wish_s is None else wish_s + random.random()  # noqa: S311 - jitter
                log("sign-in must wait", why=str(err), hint=err.hint, retry_in_s=round(wait_s, 1))
                await (self._sleep(wait_s) if wish_s is None else self._clock.sleep(wait_s))
            except NeedsSignIn as err:
                self.problem = str(err)
                self._needs = err
                self._postpone_password()
                _log.error("sign-in needed", why=str(err), hint=err.hint)
                raise
            else:
                return

    async def _next_tokens(self) -> Tokens:
        """What the store, the refresh token or the password gives, in this order."""
        tokens, stored = self._tokens, self._stored()
        if stored and self._better(stored):
            tokens = stored
            if stored.due_in_s(self._clock.now()) > 0:
                return stored
        if tokens and tokens.refresh not in self._refused:
            try:
                return await self._grants.refresh(tokens, self._clock.now())
            except Denied as denied:
                _log.warning("the stored session is no longer accepted", why=str(denied), code=denied.code)
                self._refused.add(tokens.refresh)
                return await self._next_tokens()
        return await self._by_password()

    async def _by_password(self) -> Tokens:
        email, password = self._target.email, self._target.password
        if not email or not password:
            who = f" as {self.email}" if self.email else ""
            raise NeedsSignIn(f"This agent is not signed in to {self._target.url}{who}.", hint=LOGIN_HINT)
        if (wait_s := self._password_in_s()) > 0:
            raise Unreachable("signing in again has to wait: at most once a minute.", retry_after_s=wait_s)
        try:
            tokens = await self._grants.password(email, password, self._clock.now())
        except Denied as denied:
            raise _explain(denied, self._target.url, email) from denied
        self._password_after = self._clock.now() + timedelta(seconds=SIGN_IN_EVERY_S)
        return tokens

    # ── the current session ──────────────────────────────────────────────────

    def _accept(self, tokens: Tokens) -> None:
        changed = self._tokens is None or tokens.access != self._tokens.access
        self._tokens = tokens
        self._needs = self.problem = None
        self._password_wait_s = SIGN_IN_EVERY_S
        self._refused.clear()
        try:
            self._save(tokens.to_json(self._target.url))
        except (CronmirrorError, OSError) as err:
            _log.warning("the session could not be stored", why=str(err))
        if changed:
            _log.debug("signed in", email=tokens.email, expires_at=tokens.expires_at.isoformat())
            self._tell(tokens.access)

    def _tell(self, token: str) -> None:
        for listener in self._listeners:
            try:
                listener(token)
            except Exception:  # noqa: BLE001 - one listener's bug must not stop the others or the refresh
                _log.exception("a listener for new tokens failed")

    def _stored(self) -> Tokens | None:
        try:
            return Tokens.from_json(self._load(), self._target)
        except (CronmirrorError, OSError) as err:
            _log.warning("the stored session could not be read", why=str(err))
            return None

    def _adopt_stored(self) -> bool:
        """Take a session that somebody else stored (`cronmirror login`, another process); whether there was one."""
        stored = self._stored()
        if stored is None or not self._better(stored):
            return False
        self._tokens = stored
        self._needs = None
        if self._usable():
            self._tell(stored.access)
        return True

    def _better(self, stored: Tokens) -> bool:
        if stored.refresh in self._refused or stored.access in self._refused:
            return False
        return self._tokens is None or stored.expires_at > self._tokens.expires_at

    def _current(self) -> Tokens:
        if self._tokens is None:
            raise AssertionError("a usable session is a session")
        return self._tokens

    def _usable(self) -> bool:
        tokens = self._tokens
        return tokens is not None and tokens.access not in self._refused and not tokens.expired(self._clock.now())

    def _due_in_s(self) -> float:
        if self._tokens is None or self._tokens.access in self._refused:
            return 0.0
        return self._tokens.due_in_s(self._clock.now())

    def _password_in_s(self) -> float:
        """Seconds until the password may be tried again. A wait that nobody asked for: the clock was set back."""
        if self._password_after is None:
            return 0.0
        left_s = (self._password_after - self._clock.now()).total_seconds()
        return left_s if 0 < left_s <= SIGN_IN_CAP_S else 0.0

    def _postpone_password(self) -> None:
        self._password_after = self._clock.now() + timedelta(seconds=self._password_wait_s)
        self._password_wait_s = min(self._password_wait_s * 2, SIGN_IN_CAP_S)


def _backoff(tries: int) -> float:
    """Full jitter between a half and the whole of 1, 2, 4 … 15 s."""
    base, cap = BACKOFF_S
    return min(cap, base * 2.0 ** min(tries - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


def _retrieve(flight: asyncio.Task[None]) -> None:
    """Its callers may all have gone: the error is in `problem` and in the log already."""
    if not flight.cancelled():
        flight.exception()


def _explain(denied: Denied, url: str, email: str) -> NeedsSignIn:
    hint = (
        "Check supabase.email and supabase.password; the user is listed in the dashboard under Authentication → Users."
    )
    if denied.code == "email_not_confirmed":
        hint = f"Confirm {email} in the dashboard under Authentication → Users, or create the user with auto-confirm."
    return NeedsSignIn(f"{url} refused to sign in {email} ({denied}).", hint=hint)
