"""Applies the migrations: as text to paste, or over a connection string (extra `[db]`, psycopg 3).

Every file is idempotent, so there is no record of what has been applied: pasting, `supabase db push` and this module
give the same database and can be mixed. Knows no file but those of the directory it is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import PermanentError, Refused, Unreachable

if TYPE_CHECKING:
    import psycopg

LOCK = "select pg_advisory_xact_lock(hashtextextended('cronmirror migrate', 0))"
LIMITS = (
    "set local lock_timeout = '15s'; set local statement_timeout = '10min'; set local client_min_messages = 'warning'"
)
CONNECT_TIMEOUT_S = 15
PASSING = ("starting up", "shutting down", "too many", "connection slots")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a migration did. `version` is None after `down`."""

    files: tuple[str, ...]
    warnings: tuple[str, ...]
    """What the database wants a person to know (open access, duplicates, a missing publication)."""
    version: int | None


def migration_files(directory: Path) -> Sequence[Path]:
    """Tables by time stamp, then the repeatable files: the order in which they must be applied."""
    files = [*sorted(directory.glob("[0-9]*.sql")), *sorted((directory / "repeatable").glob("*.sql"))]
    if not files:
        raise PermanentError(f"there are no migrations in {directory}", hint="Install cronmirror again.")
    return files


def render(directory: Path) -> str:
    """All of it as one text, for the SQL editor, `psql` or a file of `supabase/migrations`."""
    return "\n".join(_titled(path, directory) for path in migration_files(directory))


def render_down(directory: Path) -> str:
    """The text that removes what the migrations added and keeps the user's two tables."""
    return _titled(directory / "down.sql", directory)


async def migrate(dsn: str, directory: Path, *, progress: Callable[[str], None]) -> Applied:
    """Apply everything in one transaction; `progress` is told each file and each warning.

    Raises `Unreachable` (nobody answers, a table is locked: try again) and `Refused` (bad address or password, missing
    rights, a newer schema, not a Supabase database). Nothing is changed then.
    """
    return await _apply(dsn, migration_files(directory), directory, progress)


async def down(dsn: str, directory: Path, *, progress: Callable[[str], None]) -> Applied:
    """Apply `down.sql` in one transaction. Errors as in `migrate`."""
    return await _apply(dsn, [directory / "down.sql"], directory, progress)


def _titled(path: Path, directory: Path) -> str:
    return f"-- ── {path.relative_to(directory)} ──\n\n{path.read_text(encoding='utf-8')}"


async def _apply(dsn: str, files: Sequence[Path], directory: Path, progress: Callable[[str], None]) -> Applied:
    names = [str(path.relative_to(directory)) for path in files]
    texts = [path.read_bytes() for path in files]
    warnings: list[str] = []

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        text = " ".join(part for part in (diagnostic.message_primary, diagnostic.message_hint) if part)
        warnings.append(text)
        progress(f"warning: {text}")

    async with _connection(dsn) as connection, connection.transaction():
        connection.add_notice_handler(notice)
        await connection.execute(LIMITS)
        await connection.execute(LOCK)
        for name, text in zip(names, texts, strict=True):
            progress(name)
            await _run(connection, name, text)
        version = await _version(connection)
    return Applied(files=tuple(names), warnings=tuple(warnings), version=version)


async def _run(connection: psycopg.AsyncConnection, name: str, text: bytes) -> None:
    import psycopg  # noqa: PLC0415  # see _connection

    try:
        await connection.execute(text)
    except psycopg.Error as err:
        raise _failed(err, name) from err


async def _version(connection: psycopg.AsyncConnection) -> int | None:
    there = await (
        await connection.execute("select to_regprocedure('public.cron_schema_version()') is not null")
    ).fetchone()
    if there is None or not there[0]:
        return None
    row = await (await connection.execute("select public.cron_schema_version()")).fetchone()
    return int(row[0]) if row else None


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection in autocommit whose errors are ours."""
    try:
        import psycopg  # noqa: PLC0415  # the extra [db]: a core install must work without it
    except ImportError as err:
        raise PermanentError(
            "applying migrations over a connection string needs psycopg, which is not installed",
            hint="Install `cronmirror[db]`, or paste the output of `cronmirror migrate --print` into the SQL editor.",
        ) from err
    try:
        connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.ProgrammingError as err:  # its text would show the password
        raise Refused(
            "the database address cannot be read",
            code="dsn",
            hint="It looks like postgresql://postgres:PASSWORD@HOST:5432/postgres; "
            "percent-encode special characters of the password.",
        ) from err
    except psycopg.OperationalError as err:
        raise _unconnected(str(err)) from err
    try:
        async with connection:
            yield connection
    except psycopg.Error as err:
        raise _failed(err, "the connection") from err


def _unconnected(message: str) -> Refused | Unreachable:
    """Libpq tells the server's refusals (FATAL) only by their text; some of them pass by themselves."""
    if "FATAL" in message and not any(words in message for words in PASSING):
        return Refused(
            f"the database refused the connection: {message.strip()}",
            code="28000",
            hint="Check user, password and database of --db-url (Supabase: Connect → connection string).",
        )
    return Unreachable(
        f"the database does not answer: {message.strip()}",
        hint="Check host and port of --db-url, or paste `cronmirror migrate --print` into the SQL editor.",
    )


def _failed(err: psycopg.Error, where: str) -> Refused | Unreachable:
    code = err.sqlstate or ""
    message = f"{where}: {err.diag.message_primary or err}"
    if code == "42501":
        return Refused(
            f"this database user may not do that, nothing was changed: {message}",
            code=code,
            hint="Use the connection string of user postgres, the owner of the tables.",
        )
    if not code or code[:2] in {"08", "40", "53", "55", "57"}:
        return Unreachable(f"the migration was interrupted and nothing was changed: {message}", hint="Try again.")
    return Refused(f"the migration failed and nothing was changed: {message}", code=code, hint=err.diag.message_hint)
