"""`agent.adapters.postgres` against real servers: the same database as pasting, and errors that say what to do."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import psycopg
import pytest

from agent.adapters import postgres
from agent.errors import PermanentError, Refused, Unreachable
from tests.sql.stage import Stage
from tests.sql.test_apply import BUILDER, MIGRATIONS, NEWER, UP, snapshot


def told(_: str) -> None:
    """Nobody listens."""


async def test_migrate_tells_each_file_and_is_the_same_as_pasting(empty: Stage, stage: Stage) -> None:
    said: list[str] = []

    applied = await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=said.append)

    assert snapshot(empty) == snapshot(stage)
    assert applied == postgres.Applied(files=tuple(said), warnings=(), version=1)
    assert said[0] == "20261101000000_projects.sql"
    assert said[-1] == "repeatable/90_publication.sql"


async def test_pasting_and_migrating_can_be_mixed(empty: Stage) -> None:
    empty.owner.sql(UP)
    once = snapshot(empty)

    await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)

    assert snapshot(empty) == once


async def test_migrate_passes_on_what_a_person_should_know(empty: Stage) -> None:
    empty.owner.sql(BUILDER)
    said: list[str] = []

    applied = await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=said.append)

    (warning,) = applied.warnings
    assert "open_access stays on for home-lab, side-project" in warning
    assert f"warning: {warning}" in said


async def test_down_takes_everything_away_again(empty: Stage) -> None:
    await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)

    applied = await postgres.down(empty.owner_dsn, MIGRATIONS, progress=told)

    assert applied == postgres.Applied(files=("down.sql",), warnings=(), version=None)
    assert snapshot(empty)["functions"] == []


async def test_two_migrations_at_once_wait_for_each_other(empty: Stage) -> None:
    both = [postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told) for _ in range(2)]

    assert [applied.version for applied in await asyncio.gather(*both)] == [1, 1]


async def test_a_newer_schema_is_refused_and_nothing_is_changed(empty: Stage) -> None:
    empty.owner.sql(UP)
    empty.owner.sql(NEWER)
    before = snapshot(empty)

    with pytest.raises(Refused, match="newer Cronmirror schema") as refused:
        await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)
    assert refused.value.hint == "Upgrade cronmirror and run its migrations instead."
    assert snapshot(empty) == before


async def test_a_file_that_fails_is_named_and_takes_back_what_went_before(empty: Stage, tmp_path: Path) -> None:
    (tmp_path / "1_good.sql").write_text("create table public.cron_left_over ()")
    (tmp_path / "2_bad.sql").write_text("selekt 1")

    with pytest.raises(Refused, match=r"2_bad\.sql: syntax error") as refused:
        await postgres.migrate(empty.owner_dsn, tmp_path, progress=told)
    assert refused.value.code == "42601"
    assert empty.owner.one("select to_regclass('public.cron_left_over') is null")


async def test_a_user_without_the_rights_is_told_whose_address_to_use(empty: Stage) -> None:
    with empty.superuser() as superuser:
        superuser.execute("revoke create on schema public from hosted_owner")

    with pytest.raises(Refused, match="may not do that") as refused:
        await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)
    assert "user postgres" in str(refused.value.hint)


async def test_a_table_that_somebody_holds_is_worth_another_try(empty: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    empty.owner.sql(UP)
    monkeypatch.setattr(postgres, "LIMITS", "set local lock_timeout = '100ms'")
    with psycopg.connect(empty.owner_dsn) as holder:
        holder.execute("lock table public.cron_mirror in access exclusive mode")

        with pytest.raises(Unreachable, match="interrupted and nothing was changed"):
            await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)


async def test_a_migration_of_somebody_else_that_does_not_end_is_worth_another_try(
    empty: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LIMITS", "set local lock_timeout = '100ms'")
    with psycopg.connect(empty.owner_dsn) as other:
        other.execute(postgres.LOCK)

        with pytest.raises(Unreachable, match="interrupted and nothing was changed"):
            await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=told)


async def test_a_connection_that_breaks_is_worth_another_try(empty: Stage) -> None:
    def cut(name: str) -> None:
        if name.endswith("30_agents.sql"):
            with empty.superuser() as superuser:
                superuser.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and usename = 'hosted_owner' and state like 'idle in%'"
                )

    with pytest.raises(Unreachable):
        await postgres.migrate(empty.owner_dsn, MIGRATIONS, progress=cut)
    assert snapshot(empty)["columns"] == []


async def test_a_wrong_password_is_refused_without_showing_it(empty: Stage) -> None:
    wrong = empty.owner_dsn.replace("secret", "s3cr3t-typo")

    with pytest.raises(Refused, match="password authentication failed") as refused:
        await postgres.migrate(wrong, MIGRATIONS, progress=told)
    assert "s3cr3t-typo" not in str(refused.value)


async def test_an_address_that_cannot_be_read_is_refused_without_showing_its_password() -> None:
    with pytest.raises(Refused, match="cannot be read") as refused:
        await postgres.migrate("postgresql://me:hun%ter2@host/db?bogus=1", MIGRATIONS, progress=told)
    assert "hun" not in str(refused.value)


async def test_nobody_at_the_address_is_worth_another_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(Unreachable, match="does not answer"):
            await postgres.migrate(f"postgresql://me@127.0.0.1:{port}/db", MIGRATIONS, progress=told)


def test_a_server_that_is_starting_up_is_worth_another_try() -> None:
    assert isinstance(postgres._unconnected("FATAL:  the database system is starting up"), Unreachable)


async def test_without_psycopg_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(PermanentError, match="needs psycopg") as refused:
        await postgres.migrate("postgresql://me@127.0.0.1/db", MIGRATIONS, progress=told)
    assert "cronmirror[db]" in str(refused.value.hint)
    assert "--print" in str(refused.value.hint)


def test_an_empty_directory_is_an_installation_that_is_broken(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no migrations"):
        postgres.render(tmp_path)
