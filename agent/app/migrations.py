"""The database's schema, applied or shown; where its files are is nobody else's business."""

from __future__ import annotations

from collections.abc import Callable

from agent.adapters import postgres
from agent.adapters.files import bundled


async def apply_migrations(dsn: str, *, say: Callable[[str], None]) -> None:
    """Bring the database at `dsn` up to date. Raises `Unreachable`, `Refused` or `SchemaMissing`."""
    await postgres.migrate(dsn, bundled("migrations"), progress=say)


async def remove_schema(dsn: str, *, say: Callable[[str], None]) -> None:
    """Take away what Cronmirror added; the user's two tables stay, with their columns and rows."""
    await postgres.down(dsn, bundled("migrations"), progress=say)


def migrations_text() -> str:
    """Everything to paste into the SQL editor."""
    return postgres.render(bundled("migrations"))


def removal_text() -> str:
    """What `migrate --down` would run."""
    return postgres.render_down(bundled("migrations"))
