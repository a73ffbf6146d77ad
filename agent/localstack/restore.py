"""A backup put back: into a database beside the present one, which takes its place in one transaction at the end.

Killed half-way, the stack is as it was; the half database goes with the next restore.
"""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable
from dataclasses import replace as replace_in
from pathlib import Path

import psycopg
from psycopg import sql

from agent.adapters.files import atomic_write
from agent.errors import StackError
from agent.localstack.backup import BLOCK, DUMP, KEYS, ROLES, About
from agent.localstack.binaries import locate
from agent.localstack.bootstrap import bootstrap
from agent.localstack.configured import write_settings
from agent.localstack.connected import connected
from agent.localstack.home import Home
from agent.localstack.postgres import Cluster
from agent.localstack.programs import Programs
from agent.localstack.queries import load

SQL = load("backup.sql")
DRAFT, OLD = "restoring", "replaced"


async def restore(home: Home, path: Path, about: About, *, replace: bool, say: Callable[[str], None]) -> None:
    """Make `home` what the checked backup at `path` holds. The stack must be stopped, and empty unless `replace`."""
    binaries = await asyncio.to_thread(locate)
    if about.postgres > binaries.major:
        raise StackError(
            f"the backup is PostgreSQL {about.postgres}'s, and this installation has {binaries.major}",
            hint="Upgrade: pip install -U 'cronmirror[local]'",
        )
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = Cluster(home.data, binaries=binaries, progress=say, doing="a backup is restored")
    await cluster.start()
    try:
        await bootstrap(cluster.dsn(), cluster.password)  # the roles that the dump refers to
        if not replace and (table := await _table_with_rows(cluster.dsn())):
            raise StackError(
                f"the local stack in {home.folder} is not empty (rows in {table}); it is left as it is",
                hint="To replace everything in it: --force. A backup of it first: cronmirror local backup",
            )
        say("Restoring the database")
        await _load(path, cluster, Programs(binaries, cluster.dsn(dbname=DRAFT)))
        await write_settings(cluster.dsn(), DRAFT, about.settings)
        await _swap(cluster)
    except psycopg.Error as err:
        raise StackError(f"the backup could not be restored, nothing was changed: {err}") from err
    finally:
        await cluster.stop()
    with zipfile.ZipFile(path) as archive:
        atomic_write(home.keys_file, archive.read(KEYS))
    settings = home.settings  # where it listens belongs to this machine
    replace_in(settings, port=settings.port or about.port, project=about.project).save(home.settings_file)


async def _table_with_rows(dsn: str) -> str | None:
    """The first one."""
    async with connected(dsn) as connection:
        for (name,) in await (await connection.execute(SQL["tables"])).fetchall():
            query = sql.SQL("select exists (select from only {})").format(sql.SQL(name))
            row = await (await connection.execute(query)).fetchone()
            if row and row[0]:
                return str(name)
    return None


async def _load(path: Path, cluster: Cluster, programs: Programs) -> None:
    """The dump into a new database beside the present one."""
    with zipfile.ZipFile(path) as archive:
        roles = archive.read(ROLES).decode()
        async with connected(cluster.dsn(), autocommit=True) as connection:
            await _drop(connection, DRAFT)
            await _add_roles(connection, roles)
            await connection.execute(f"create database {DRAFT} template template0".encode())
        options = ("--exit-on-error", "--single-transaction", f"--dbname={DRAFT}")
        with archive.open(DUMP) as entry:
            async with programs.running("pg_restore", *options, reads=True) as process:
                await _feed(entry.read, process.stdin)


async def _feed(read: Callable[[int], bytes], stdin: asyncio.StreamWriter | None) -> None:
    assert stdin is not None  # noqa: S101 # a pipe
    try:
        while block := await asyncio.to_thread(read, BLOCK):
            stdin.write(block)
            await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # it ended early; its exit code and its words say why


async def _add_roles(connection: psycopg.AsyncConnection, text: str) -> None:
    """Roles that are not there yet, and what the dumped ones are and belong to. One statement a line (pg_dumpall)."""
    for line in text.splitlines():
        if line.startswith(("CREATE ROLE", "ALTER ROLE", "GRANT")):
            try:
                await connection.execute(line.encode())
            except psycopg.errors.DuplicateObject:
                continue


async def _swap(cluster: Cluster) -> None:
    # From a third database: nobody may be connected to the two.
    async with connected(cluster.dsn(dbname="template1"), autocommit=True) as connection:
        await _drop(connection, OLD)
        await connection.execute(SQL["swap"])
        await _drop(connection, OLD)


async def _drop(connection: psycopg.AsyncConnection, name: str) -> None:
    await connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
