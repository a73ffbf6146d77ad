"""The whole embedded stack: PostgreSQL, what a Supabase project has in it, and the gateway. Read `start` top to bottom.

Everything it keeps is in one folder; it leaves no process behind.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

import psycopg
import structlog
from starlette.routing import BaseRoute

from agent.control.dashboard import Dashboard
from agent.control.page import BUILT, Page
from agent.control.settings import Settings
from agent.errors import StackError
from agent.localstack.accounts import BCRYPT_LIMIT, BCRYPT_ROUNDS, Accounts
from agent.localstack.auth import Auth, Policy
from agent.localstack.binaries import Binaries
from agent.localstack.bootstrap import bootstrap
from agent.localstack.external import ExternalDatabase
from agent.localstack.gateway import Gateway
from agent.localstack.invitations import Invitations
from agent.localstack.keys import Keys
from agent.localstack.limits import DEFAULT, Limits
from agent.localstack.listen import Listen
from agent.localstack.pool import Pool
from agent.localstack.postgres import Cluster, read_password
from agent.localstack.realtime import Realtime
from agent.localstack.rest import Rest, SchemaCache

log = structlog.get_logger()

Progress = Callable[[str], None]
Closer = Callable[[], Awaitable[None]]
Prepare = Callable[[str], Awaitable[object]]
AUTH_CONNECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class Options:
    """What tests and unusual installations change."""

    token_ttl_s: int = 3600
    """Life of an access token in seconds."""
    leeway_s: float = 30
    """Skew that `/rest/v1` allows on token times: PostgREST's 30 s."""
    fsync: bool = True
    """False: the folder need not survive the machine (tests)."""
    bcrypt_rounds: int = BCRYPT_ROUNDS
    sign_up: bool = False
    """Whether anybody may make an account; it is confirmed at once, for no mail is sent."""
    limits: Limits = DEFAULT
    """How often somebody may fail to sign in."""
    pool_size: int = 12
    """Connections of `/rest/v1`; `/auth/v1` has four of its own."""
    binaries: Binaries | None = None
    """Another PostgreSQL than the one that `locate()` finds."""
    database_url: str | None = None
    """A PostgreSQL that somebody else runs; its user must be a superuser."""
    older: Path | None = None
    """PostgreSQL's programs of the version that made the data, where that is an older one."""
    project: str | None = None
    """The project that the dashboard opens with."""
    page: Path = BUILT
    """The folder of the built dashboard."""
    listen: Listen | None = None
    """Where; loopback unless said."""
    names: frozenset[str] = frozenset()
    """Host names (lower case, no port) under which the gateway may be asked, besides loopback's own."""


class LocalStack:
    """Supabase on loopback, kept in `state_dir`. `port` None: any free one; `next_free`: or the next free after it."""

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int | None = None,
        next_free: bool = False,
        options: Options | None = None,
        progress: Progress | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        """`prepare` is given the superuser's address before anything is served: migrations are applied there."""
        self._dir = state_dir
        self._options = options or Options()
        self._progress: Progress = progress or (lambda _: None)
        self._prepare = prepare
        self._dashboard = Dashboard(Page(self._options.page), self._page_settings)
        names, listen = self._options.names, self._options.listen
        self._gateway = Gateway(port=port, next_free=next_free, dashboard=self._dashboard, names=names, listen=listen)
        self._keys: Keys | None = None
        self._accounts: Accounts | None = None
        self._invitations: Invitations | None = None
        self._closers: list[Closer] = []
        self.database: Cluster | ExternalDatabase = self._database()

    @property
    def url(self) -> str:
        """What a Supabase client is given as its URL."""
        return self._gateway.url

    @property
    def keys(self) -> Keys:
        """API keys and JWT secret of this folder; StackError before the first start."""
        if self._keys is None:
            raise StackError("the local stack has not been started")
        return self._keys

    @property
    def dsn(self) -> str:
        """Superuser's libpq URL, password included."""
        return self.database.dsn()

    @property
    def has_page(self) -> bool:
        """Whether the dashboard is built."""
        return self._dashboard.built

    async def start(self) -> None:
        """Cluster, bootstrap, pools, Realtime, gateway; all of it undone if one fails. StackError says why."""
        try:
            self._keys = self._load_keys()
            await self._begin(self.database.start, self.database.stop)
            self._progress("Preparing the database")
            await bootstrap(self.dsn, self.database.password)
            if self._prepare:
                await self._prepare(self.dsn)
            self._progress("Starting the gateway")
            routes, rest = await self._open_services(self._keys)
            await self._gateway.start(routes, rest=rest)
            self._closers.append(self._gateway.stop)
            if isinstance(self.database, Cluster):
                self.database.hold.tell(url=self.url)
        except psycopg.Error as err:
            await self.stop()
            raise StackError(f"the local stack could not use its database: {err}") from err
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything in reverse order. May be called twice, or after a start that failed."""
        while self._closers:
            closer = self._closers.pop()
            try:
                await closer()
            except Exception as err:  # noqa: BLE001 # whatever it was, Postgres has to be stopped too
                log.warning("a part of the local stack did not stop cleanly", error=str(err))

    def erase(self) -> None:
        """Remove everything it keeps, after `stop`. StackError while another process runs it, or it is not ours."""
        if not isinstance(self.database, Cluster):
            raise StackError("the database is somebody else's; the local stack removes only its own")
        self.database.erase()
        shutil.rmtree(self._dir, ignore_errors=True)

    async def create_user(self, email: str, password: str) -> UUID:
        """A confirmed user's id; the id of the existing one when the address is taken and the password fits."""
        if self._accounts is None:
            raise StackError("the local stack has not been started")
        if len(password.encode()) > BCRYPT_LIMIT:
            raise StackError(f"the password of {email} is longer than {BCRYPT_LIMIT} bytes")
        user = await self._accounts.create(email, password) or await self._accounts.verify(email, password)
        if user is None:
            raise StackError(f"{email} is already registered in the local stack, with another password")
        return UUID(str(user["id"]))

    def invite(self, user_id: UUID, *, once: bool = False) -> str:
        """An address that opens the dashboard signed in as this user, until the stack stops; `once`: one time only.

        It is a key: whoever has it is that user.
        """
        if self._invitations is None:
            raise StackError("the local stack has not been started")
        return self.url + self._invitations.path(user_id, once=once)

    def _page_settings(self) -> Settings:
        return Settings(key=self.keys.publishable_key, project=self._options.project, local=True)

    async def _open_services(self, keys: Keys) -> tuple[list[BaseRoute], Rest]:
        options = self._options
        rest_pool = await self._pool("authenticator", options.pool_size)
        auth_pool = await self._pool("supabase_auth_admin", AUTH_CONNECTIONS)
        cache = SchemaCache(self.dsn)
        await self._begin(cache.start, cache.stop)
        realtime = Realtime(dsn=self.dsn, keys=keys)
        await self._begin(realtime.start, realtime.stop)
        self._accounts = Accounts(auth_pool, rounds=options.bcrypt_rounds)
        policy = Policy(ttl_s=options.token_ttl_s, issuer=lambda: f"{self.url}/auth/v1", sign_up=options.sign_up)
        auth = Auth(self._accounts, keys, policy=policy, limits=options.limits)
        rest = Rest(rest_pool, cache, keys, leeway_s=options.leeway_s)
        self._closers.append(rest.stop)
        self._invitations = Invitations(auth, self._dashboard)
        return [*realtime.routes(), *auth.routes(), self._invitations.route()], rest

    async def _begin(self, start: Callable[[], Awaitable[None]], stop: Closer) -> None:
        """Remember how to end it first: a start that fails half-way is cleaned up too."""
        self._closers.append(stop)
        await start()

    async def _pool(self, role: str, size: int) -> Pool:
        pool = Pool(self.database.dsn(user=role), size)
        await self._begin(pool.start, pool.stop)
        return pool

    def _load_keys(self) -> Keys:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Keys.load_or_generate(self._dir / "keys.json")

    def _database(self) -> Cluster | ExternalDatabase:
        options = self._options
        if options.database_url is None:
            folder = self._dir / "postgres"
            return Cluster(
                folder,
                binaries=options.binaries,
                fsync=options.fsync,
                progress=self._progress,
                older=options.older,
            )
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ExternalDatabase(options.database_url, read_password(self._dir / "database.password"))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
