"""One PostgreSQL of our own: made on first start, on a unix socket only, gone when this process is gone.

A watcher stops the server when we crash or are killed with SIGKILL (`server`, `orphans`); what survives even that
is stopped by the next start on the same folder.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import structlog

from agent.errors import StackError
from agent.localstack.binaries import Binaries, locate
from agent.localstack.footing import REFUGE, Footing, Kind, find_footing, give, place_in_refuge
from agent.localstack.hold import Hold
from agent.localstack.majors import finish_upgrade, major_of, older_programs, upgrade
from agent.localstack.orphans import end_orphan
from agent.localstack.server import Server

log = structlog.get_logger()

Progress = Callable[[str], None]
SOCKET_PATH_LIMIT = 100
"""macOS allows 104 bytes, Linux 108."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


class Cluster:
    """A PostgreSQL server whose files live in `folder` and beside it (`.lock`, `.password`, `.log`).

    `start` and `stop` may be repeated; the DSN stays the same for the life of the object.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binaries: Binaries | None = None,
        fsync: bool = True,
        progress: Progress | None = None,
        refuge: Path = REFUGE,
        only: Sequence[Kind] | None = None,
        doing: str = "running",
        older: Path | None = None,
    ) -> None:
        """`binaries`: instead of those `locate()` finds; `refuge`, `only`: see `footing` (root alone).

        `doing`: what others are told who want the folder meanwhile. `older`: where the programs are of the version that
        made the data, when it was an older one (`majors`).
        """
        # Postgres is started with `/` as its working directory, and an orphan is known by the spelling of its path.
        self._folder = folder.resolve()
        self._binaries = binaries
        self._fsync = fsync
        self._progress: Progress = progress or (lambda _: None)
        self._refuge = refuge
        self._only = only
        self.password = ""
        """Of the superuser, and of the roles that the gateway logs in as; known after the first start."""
        self._socket_dir: Path | None = None
        self._server: Server | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._doing = doing
        self._older = older
        self.hold = Hold(self._beside(".lock"))
        """Ours while it runs."""
        self.footing: Footing | None = None
        """How it runs; None before the first start."""

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._server.pid if self._server else None

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """A libpq URL over the unix socket, password included: don't log it."""
        where = quote(str(self._socket_dir), safe="")
        return f"postgresql://{quote(user)}:{self.password}@/{quote(dbname)}?host={where}"

    async def start(self) -> None:
        """Create the cluster if it is new, start the server, return when it answers. StackError says why not."""
        if self._supervisor:
            return
        self._take_hold()
        try:
            self.password = read_password(self._beside(".password"))
            if self._binaries is None:
                self._binaries = await asyncio.to_thread(locate)
            self.footing = await find_footing(self._binaries, self._folder, refuge=self._refuge, only=self._only)
            self._server = await self._launch(self.footing)
        except BaseException:
            await self.stop()
            raise
        self.hold.tell(sockets=str(self._socket_dir))
        self._supervisor = asyncio.create_task(self._supervise(self._server), name="localstack-postgres")

    async def stop(self) -> None:
        """Stop the server: fast shutdown first, by force after 10 s. Nothing is left but the data."""
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._server:
            await self._server.end()
            self._server = None
        if self._socket_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self.hold.release()

    def erase(self) -> None:
        """Remove the data, wherever it came to lie. StackError while another process runs it."""
        self._take_hold()
        try:
            for place in (self._folder, place_in_refuge(self._folder, self._refuge)):
                shutil.rmtree(place, ignore_errors=True)
        finally:
            self.hold.release()

    async def _launch(self, footing: Footing) -> Server:
        server = Server(
            footing, socket_dir=self._make_socket_dir(footing), log_path=self._beside(".log"), durable=self._fsync
        )
        await end_orphan(server.data)
        finish_upgrade(footing.folder)
        if not server.data.exists():
            self._progress("Creating the database cluster")
            await server.create(self.password)
        elif (made_by := major_of(server.data)) != footing.binaries.major:
            old = await asyncio.to_thread(older_programs, made_by, footing, given=self._older, copies=self._refuge)
            self._progress(f"Bringing the database from PostgreSQL {made_by} to {footing.binaries.major}")
            await upgrade(server, old, self.password)
        self._progress("Starting PostgreSQL")
        try:
            await server.launch()
        except BaseException:
            await server.end()
            raise
        return server

    async def _supervise(self, server: Server) -> None:
        """Start the server again when it ends by itself (killed, out of memory), with growing pauses."""
        pause = FIRST_PAUSE_S
        while True:
            code = await server.wait()
            log.warning("PostgreSQL ended by itself; starting it again", code=code)
            await server.end()
            await asyncio.sleep(pause)
            try:
                await end_orphan(server.data, sockets=False)
                await server.launch()
                pause = FIRST_PAUSE_S
            except (StackError, OSError) as err:
                pause = min(pause * 2, LONGEST_PAUSE_S)
                log.warning("PostgreSQL did not start; trying again", pause_s=pause, error=str(err))

    def _beside(self, suffix: str) -> Path:
        return self._folder.parent / f"{self._folder.name}{suffix}"

    def _take_hold(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.hold.take(self._doing)

    def _make_socket_dir(self, footing: Footing) -> Path:
        """A private folder with a short path; the same one for the life of this object."""
        owner = footing.identity.owner
        if self._socket_dir is None:
            usual = Path(tempfile.gettempdir())
            too_long = len(str(usual / "cronmirror-12345678/.s.PGSQL.5432")) > SOCKET_PATH_LIMIT
            place = Path("/tmp") if too_long or owner else usual  # noqa: S108 # mkdtemp makes it private and random
            self._socket_dir = Path(tempfile.mkdtemp(prefix="cronmirror-", dir=place))
        else:
            self._socket_dir.mkdir(mode=0o700)
        if owner:
            give(self._socket_dir, owner)
        return self._socket_dir


def read_password(path: Path) -> str:
    """The password kept at `path` (mode 0600), made up the first time."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_hex(24))
    return path.read_text().strip()
