"""Opens the journal's file: private, durable, migrated; a damaged one is moved aside and never used again."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path

import structlog

from agent.adapters.sqlite.statements import MIGRATIONS, statements_of
from agent.errors import StateError

log = structlog.get_logger()

BUSY_MS = 5_000
WAL_KEPT_BYTES = 16 * 1024 * 1024
INCREMENTAL = 2
"""https://www.sqlite.org/pragma.html#pragma_auto_vacuum"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY = 0xFF  # extended result codes carry the primary one in their low byte
_SAID = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space; the agent goes on by itself."),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "Check the owner and permissions of the file and its folder."),
    sqlite3.SQLITE_PERM: ("it cannot be written", "Check the owner and permissions of the file and its folder."),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Check the owner and permissions of the file and its folder."),
    sqlite3.SQLITE_BUSY: ("another process holds it", "End the other process that has this file open."),
    sqlite3.SQLITE_IOERR: ("reading or writing failed", "Check the disk, its free space and its quota."),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "Restart the agent: it moves the file aside and begins a new one."),
    sqlite3.SQLITE_NOTADB: ("it is no journal", "Restart the agent: it moves the file aside and begins a new one."),
}


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def explained(error: sqlite3.Error, path: Path) -> StateError:
    """What an error of SQLite means for the person who runs the agent."""
    what, hint = _SAID.get(_code(error), ("SQLite refused", None))
    return StateError(f"{path}: {what} ({error})", hint=hint)


def open_journal(path: Path, *, now: datetime, mend: bool) -> sqlite3.Connection:
    """The connection for writing. With `mend` a damaged file is moved aside and a new one begun.

    Raises `StateError`.
    """
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not (mend and _code(error) in _DAMAGED):
            raise explained(error, path) from error
        damage = str(error)
    aside = _move_aside(path, now)
    log.error(
        "the journal is damaged and was moved aside; what it had not reported is lost",
        journal=str(path),
        moved_to=str(aside),
        error=damage,
    )
    return open_journal(path, now=now, mend=False)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, beside a running agent. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"pragma busy_timeout = {BUSY_MS}")
    return connection


def _open(path: Path) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """0600 before SQLite writes a byte; its `-wal` and `-shm` inherit the mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StateError(
            f"{path}: {error.strerror}", hint="Check the owner, permissions and free space of its folder."
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"pragma busy_timeout = {BUSY_MS}")
    let_it_shrink(connection)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma fullfsync = on")  # macOS: fsync alone does not reach the disk; no effect elsewhere
    connection.execute(f"pragma journal_size_limit = {WAL_KEPT_BYTES}")
    verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    _migrate(connection, path)


def let_it_shrink(connection: sqlite3.Connection) -> None:
    """Free pages can be given back only where that was said before the first table; else the file is written anew."""
    if connection.execute("pragma auto_vacuum").fetchone()[0] == INCREMENTAL:
        return
    connection.execute("pragma auto_vacuum = incremental")
    try:
        connection.execute("vacuum")
    except sqlite3.OperationalError as error:  # another process has it open, or the disk is full: it works as it is
        log.warning("the journal cannot be made to shrink now; the next start tries again", error=str(error))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("begin immediate")
    try:
        version = connection.execute("pragma user_version").fetchone()[0]
        _refuse_newer(version, path)
        for migration in MIGRATIONS[version:]:
            for statement in statements_of(migration):
                connection.execute(statement)
        connection.execute(f"pragma user_version = {len(MIGRATIONS)}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _refuse_newer(version: int, path: Path) -> None:
    if version > len(MIGRATIONS):
        raise StateError(
            f"{path}: made by a newer cronmirror (version {version}, this one knows {len(MIGRATIONS)})",
            hint="Update cronmirror, or use another state directory.",
        )


def _move_aside(path: Path, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StateError(f"{path}: damaged, and it cannot be moved aside: {error.strerror}") from error
    return aside
