"""`cronmirror local backup|restore|reset`: real dumps of a real Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from tests.support.local import Local, local_in
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OWN = """
create table public.own (n int primary key, note text);
insert into public.own select n, 'ü' || n from generate_series(1, 2000) n;
create role reader nologin; grant select on public.own to reader;
alter table public.own enable row level security;
create policy mine on public.own for select to authenticated using (n < 10);
alter publication supabase_realtime add table public.own;
alter database postgres set app.secret = 'a, "b" = c';
alter database postgres set search_path = "$user", public, "odd, one";
alter role reader in database postgres set work_mem = '5MB';
"""
CATALOG = (
    (
        "select relname, relacl::text, relrowsecurity, relowner::regrole::text from pg_class c join pg_namespace n "
        "on n.oid = relnamespace where nspname in ('public', 'auth', 'extensions') order by 1"
    ),
    (
        "select proname, proacl::text, prosecdef, proowner::regrole::text, pg_get_function_identity_arguments(oid) "
        "from pg_proc where pronamespace::regnamespace::text in ('public', 'auth') order by 1, 5"
    ),
    "select polname, polrelid::regclass::text, pg_get_expr(polqual, polrelid) from pg_policy order by 1, 2",
    "select pubname, tablename from pg_publication_tables order by 1, 2",
    "select evtname, evtevent, evtenabled::text from pg_event_trigger order by 1",
    "select defaclrole::regrole::text, defaclobjtype::text, defaclacl::text from pg_default_acl order by 1, 2, 3",
    "select nspname, nspacl::text, obj_description(oid, 'pg_namespace') from pg_namespace where nspname !~ '^pg_'",
    "select * from own order by n",
    "select coalesce(setrole::regrole::text, ''), setconfig from pg_db_role_setting where setdatabase <> 0 order by 1",
    "select email, encrypted_password from auth.users order by 1",
    "select project_id, role from cron_project_members order by 1",
)


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with local_in(tmp_path / "stack") as one:
        yield one


def dsn(local: Local) -> str:
    return local.home.dsn() or ""


def ask(local: Local, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn(local)) as connection:
        return connection.execute(query.encode()).fetchall()


def do(local: Local, statements: str) -> None:
    with psycopg.connect(dsn(local), autocommit=True) as connection:
        connection.execute(statements.encode())


async def test_what_was_backed_up_while_it_ran_is_the_same_on_another_machine(local: Local, tmp_path: Path) -> None:
    await local.start()
    await local.ok("member", "me@example.com", stdin="correct horse\n")
    do(local, OWN)
    before = [ask(local, query) for query in CATALOG]
    file = tmp_path / "kept.zip"
    assert "as safe as a password" in await local.ok("backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    again = await local.run("backup", str(file))
    assert (again.returncode, "already there" in again.stderr) == (5, True)
    await local.ok("backup", "--force", str(file))
    env = json.loads(await local.ok("env", "-f", "json"))
    await local.ok("stop")
    async with local_in(tmp_path / "elsewhere") as other:
        await other.ok("restore", str(file))
        assert json.loads(await other.ok("env", "-f", "json")) == env  # pages and agents go on
        await other.ok("start", "--detach")
        assert [ask(other, query) for query in CATALOG] == before
        async with other.signed_in("me@example.com", "correct horse") as http:
            assert len((await http.get("/rest/v1/cron_projects?select=project_id")).json()) == 1
        assert ask(other, "select rolname from pg_roles where rolname = 'reader'")
        assert ask(other, "select datname from pg_database where datname in ('restoring', 'replaced')") == []


async def test_a_restore_leaves_alone_what_is_there_unless_told(local: Local, tmp_path: Path) -> None:
    await local.start()
    file = tmp_path / "kept.zip"
    await local.ok("backup", str(file))
    running = await local.run("restore", str(file))
    assert (running.returncode, "already running" in running.stderr) == (5, True)
    do(local, "create table public.newer (n int); insert into public.newer values (1)")
    await local.ok("stop")
    refused = await local.run("restore", str(file))
    assert (refused.returncode, "public.newer" in refused.stderr, "--force" in refused.stderr) == (5, True, True)
    await local.ok("start", "--detach")
    assert ask(local, "select n from newer") == [(1,)]
    await local.ok("stop")
    await local.ok("restore", "--force", str(file))
    await local.ok("start", "--detach")
    assert ask(local, "select to_regclass('public.newer')::text") == [(None,)]


async def test_a_restore_that_is_killed_changes_nothing_and_can_be_repeated(local: Local, tmp_path: Path) -> None:
    await local.start()
    do(
        local,
        "create table public.big (n int, t text); insert into public.big select n, repeat('x', 900) from "
        "generate_series(1, 60000) n",
    )
    file = tmp_path / "kept.zip"
    await local.ok("backup", str(file))
    do(local, "drop table public.big; create table public.newer (n int); insert into public.newer values (1)")
    await local.ok("stop")
    work = asyncio.create_task(local.run("restore", "--force", str(file)))

    def loading() -> bool:
        with contextlib.suppress(psycopg.Error):
            return bool(ask(local, "select datname from pg_database where datname = 'restoring'"))
        return False

    await wait_until(loading, 30, every=0.005)
    os.kill(local.pid, signal.SIGKILL)
    assert (await work).returncode == -signal.SIGKILL
    await local.ok("start", "--detach")
    assert ask(local, "select n from newer") == [(1,)]
    await local.ok("stop")
    await local.ok("restore", "--force", str(file))
    await local.ok("start", "--detach")
    assert ask(local, "select count(*) from big") == [(60000,)]
    assert ask(local, "select datname from pg_database where datname in ('restoring', 'replaced')") == []


async def test_a_damaged_or_foreign_file_is_refused_before_anything_happens(local: Local, tmp_path: Path) -> None:
    await local.start()
    await local.ok("stop")
    file = tmp_path / "kept.zip"
    await local.ok("backup", str(file))  # of a stopped one
    whole = file.read_bytes()
    cut, bent = tmp_path / "cut.zip", tmp_path / "bent.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    middle = whole.index(b"PGDMP") + 2000
    bent.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    newer, text = tmp_path / "newer.zip", tmp_path / "text.zip"
    text.write_text("hello")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b'"format": 1', b'"format": 2') if name == "about.json" else content)
    for wrong, words in ((cut, "damaged"), (bent, "damaged"), (text, "no backup"), (newer, "newer cronmirror")):
        refused = await local.run("restore", "--force", str(wrong))
        assert (refused.returncode, words in refused.stderr) == (5, True), refused.stderr
    missing = await local.run("restore", str(tmp_path / "none.zip"))
    assert (missing.returncode, "is not there" in missing.stderr) == (5, True)


async def test_reset_asks_first_and_keeps_the_keys_unless_all_is_to_go(local: Local) -> None:
    await local.start()
    await local.ok("member", "me@example.com", stdin="correct horse\n")
    env = await local.ok("env")
    running = await local.run("reset", "--yes")
    assert (running.returncode, "already running" in running.stderr) == (5, True)
    await local.ok("stop")
    unasked = await local.run("reset")
    assert (unasked.returncode, "--yes" in unasked.stderr) == (5, True)
    assert len(json.loads(await local.ok("members", "--json"))) == 1
    await local.ok("reset", "--yes")
    await local.ok("start", "--detach")
    assert (await local.facts())["users"] == 0
    assert await local.ok("env") == env
    await local.ok("stop")
    await local.ok("reset", "--yes", "--all")
    assert [path.name for path in local.home.folder.iterdir()] == ["postgres.lock"]
    assert (await local.facts())["state"] == "none"
