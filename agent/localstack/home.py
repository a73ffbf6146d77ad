"""The folder of a stack that is to last: its settings, who runs it, and its database for other commands.

Beside what `LocalStack` keeps there (`keys.json`, `postgres*`): `settings.json`, what the person once said, so that
the address stays the same, and `stack.log`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self
from urllib.parse import quote

from agent.adapters.files import atomic_write
from agent.errors import StackError
from agent.localstack.hold import Holder, look
from agent.localstack.listen import LOOPBACK, Listen, Tls
from agent.localstack.postgres import Cluster, Progress, read_password

FIRST_PORT = 54321
"""Where `supabase start` listens, too."""


@dataclass(frozen=True, kw_only=True)
class HomeSettings:
    """What is remembered from one start to the next."""

    port: int | None = None
    """None: not started yet."""
    project: str = "home"
    """What the dashboard opens with, and where members are added."""
    listen: str = LOOPBACK
    tls_certificate: str | None = None
    tls_key: str | None = None
    host_name: str | None = None
    """What others call this machine, in URLs that are handed out."""

    def listening(self) -> Listen:
        """The same for the gateway."""
        certificate, key = self.tls_certificate, self.tls_key
        tls = Tls(certificate=Path(certificate), key=Path(key)) if certificate and key else None
        return Listen(host=self.listen, tls=tls, name=self.host_name)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Those at `path`; the defaults where there are none. What a newer version added is left out."""
        try:
            found = json.loads(path.read_text("utf-8"))
            known = {each.name for each in fields(cls)}
            return cls(**{name: value for name, value in found.items() if name in known})
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, AttributeError) as err:
            raise StackError(
                f"{path}: the settings of the local stack cannot be read ({err})",
                hint="Remove the file; the next start makes it anew, with --port for the port it had.",
            ) from err

    def save(self, path: Path) -> None:
        """Whole or not at all. StateError when it cannot be written."""
        atomic_write(path, json.dumps(asdict(self), indent=2).encode() + b"\n")


class Home:
    """One folder. Nothing here needs the stack's own libraries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings_file = folder / "settings.json"
        self.keys_file = folder / "keys.json"
        self.log = folder / "stack.log"
        self.postgres_log = folder / "postgres.log"
        self.data = folder / "postgres"

    @property
    def settings(self) -> HomeSettings:
        """As they are now."""
        return HomeSettings.load(self.settings_file)

    @property
    def holder(self) -> Holder | None:
        """Who is at work here."""
        return look(self.folder / "postgres.lock")

    @property
    def exists(self) -> bool:
        """Whether a stack was ever started here."""
        return self.keys_file.exists()

    def files(self) -> list[Path]:
        """What it keeps beside the database; not the lock, which is never removed."""
        logs = [log.with_name(log.name + end) for log in (self.log, self.postgres_log) for end in ("", ".1")]
        return [self.keys_file, self.settings_file, self.folder / "postgres.password", *logs]

    @property
    def url(self) -> str:
        """Where it answers, or will when it is started."""
        holder = self.holder
        if holder and holder.url:
            return holder.url
        settings = self.settings
        return settings.listening().url(settings.port or FIRST_PORT)

    def dsn(self) -> str | None:
        """The superuser's address while PostgreSQL runs, password included."""
        holder = self.holder
        if holder is None or holder.sockets is None:
            return None
        password = read_password(self.folder / "postgres.password")
        return f"postgresql://postgres:{password}@/postgres?host={quote(holder.sockets, safe='')}"

    @asynccontextmanager
    async def database(self, doing: str, *, progress: Progress | None = None) -> AsyncIterator[str]:
        """The superuser's address: of the stack that runs, else of PostgreSQL alone, started for this while.

        StackError where there is no stack, or where it is busy.
        """
        if not self.exists:
            raise no_stack(self.folder)
        holder = self.holder
        dsn = self.dsn() if holder and holder.doing == "running" and holder.url else None
        if dsn:
            yield dsn
            return
        cluster = Cluster(self.data, progress=progress, doing=doing)
        await cluster.start()
        try:
            yield cluster.dsn()
        finally:
            await cluster.stop()


def no_stack(folder: Path) -> StackError:
    """Nothing was ever started in `folder`."""
    return StackError(f"there is no local stack in {folder}", hint="Start one: cronmirror local start")
