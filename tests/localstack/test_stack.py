"""The whole stack: one folder, started and stopped as one."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from agent.errors import StackError
from agent.localstack.bootstrap import bootstrap
from agent.localstack.postgres import Cluster
from agent.localstack.server import BEHAVIOUR
from agent.localstack.stack import LocalStack, Options
from tests.localstack.clusters import take_port
from tests.localstack.conftest import Api
from tests.support.stack import Project, StackThread
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

QUICK = Options(fsync=False, bcrypt_rounds=4)


async def rpc(stack: LocalStack, token: str) -> int:
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        headers = {"apikey": stack.keys.publishable_key, "authorization": f"Bearer {token}"}
        return (await http.get(f"{stack.url}/rest/v1/nope", headers=headers)).status_code


async def sign_in(stack: LocalStack, email: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 # plain HTTP
        return await http.post(
            f"{stack.url}/auth/v1/token?grant_type=password",
            headers={"apikey": stack.keys.publishable_key},
            json={"email": email, "password": "pw-pw-pw"},
        )


async def test_everything_is_in_one_folder_and_is_there_again(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "stack"
    others = psutil.Process().children(recursive=True)
    async with LocalStack(folder, options=QUICK, progress=said.append) as stack:
        user = await stack.create_user("ann@example.com", "pw-pw-pw")
        assert isinstance(user, UUID)
        assert await stack.create_user("Ann@example.com", "pw-pw-pw") == user
        with pytest.raises(StackError, match="already registered"):
            await stack.create_user("ann@example.com", "another")
        with pytest.raises(StackError, match="longer than 72 bytes"):
            await stack.create_user("long@example.com", "x" * 73)
        session = (await sign_in(stack, "ann@example.com")).json()
        keys, children = stack.keys, set(psutil.Process().children(recursive=True)) - set(others)
        assert children
    assert [each for each in children if each.is_running() and each.status() != "zombie"] == []
    assert said[:2] == ["Creating the database cluster", "Starting PostgreSQL"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    began = time.monotonic()
    async with LocalStack(folder, options=QUICK) as stack:
        assert time.monotonic() - began < 3
        assert stack.keys == keys
        assert await rpc(stack, session["access_token"]) == 404
        assert (await sign_in(stack, "ann@example.com")).status_code == 200


async def test_short_lived_tokens_expire_when_they_should(tmp_path: Path) -> None:
    options = Options(fsync=False, bcrypt_rounds=4, token_ttl_s=1, leeway_s=0)
    async with LocalStack(tmp_path / "stack", options=options) as stack:
        await stack.create_user("ann@example.com", "pw-pw-pw")

        async def fresh() -> dict[str, Any] | None:
            """A session whose token was accepted: a busy machine may be too slow for one."""
            session = (await sign_in(stack, "ann@example.com")).json()
            return session if await rpc(stack, session["access_token"]) == 404 else None

        session = await wait_until(fresh)
        assert session["expires_in"] == 1
        await wait_until(lambda: time.time() > session["expires_at"])
        assert await rpc(stack, session["access_token"]) == 401


async def test_erasing_removes_the_whole_folder_but_not_under_a_running_stack(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    stack = LocalStack(folder, options=QUICK)
    await stack.start()
    with pytest.raises(StackError, match="already running"):
        LocalStack(folder, options=QUICK).erase()
    await stack.stop()
    stack.erase()
    assert not folder.exists()
    with pytest.raises(StackError, match="somebody else's"):
        LocalStack(folder, options=Options(database_url="postgresql://localhost/x")).erase()


async def test_before_a_start_there_is_nothing_to_use(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "stack")
    with pytest.raises(StackError, match="not been started"):
        _ = stack.keys
    with pytest.raises(StackError, match="not been started"):
        await stack.create_user("a@b.cd", "x")
    await stack.stop()


async def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path) -> None:
    others = psutil.Process().children()
    with socket.socket() as taken:
        port = take_port(taken)
        stack = LocalStack(tmp_path / "stack", port=port, options=QUICK)
        with pytest.raises(StackError, match=str(port)):
            await stack.start()
    assert set(psutil.Process().children()) <= set(others)
    await stack.start()  # the port is free now
    assert stack.url == f"http://127.0.0.1:{port}"
    await stack.stop()


async def test_a_part_that_does_not_stop_keeps_no_other_from_stopping(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "stack", options=QUICK)
    await stack.start()
    assert isinstance(stack.database, Cluster)

    async def broken() -> None:
        raise OSError("stuck")

    stack._closers.append(broken)
    await stack.stop()
    assert stack.database.pid is None


async def test_an_unreadable_key_file_is_named_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    (folder / "keys.json").write_text("{}")
    with pytest.raises(StackError, match=r"keys\.json"):
        await LocalStack(folder, options=QUICK).start()
    assert not (folder / "postgres").exists()


def test_the_bootstrap_may_be_applied_again(bare: StackThread) -> None:
    query = "select string_agg(md5(t::text), '' order by t::text) as sum from (select * from pg_{0}) t"
    tables = ("roles", "publication", "event_trigger", "default_acl", "namespace")
    before = [bare.sql(query.format(each)) for each in tables]
    password = bare.local.database.password
    bare.call(bootstrap(bare.dsn, password))
    assert [bare.sql(query.format(each)) for each in tables] == before


def test_new_tables_are_closed_to_the_api_roles(bare: StackThread) -> None:
    """As on new hosted projects."""
    bare.sql("create table private (id int); create sequence private_seq")
    rights = bare.sql(
        "select r, has_table_privilege(r, 'private', 'select, insert, update, delete, truncate') as t, "
        "has_sequence_privilege(r, 'private_seq', 'usage, select') as s "
        "from unnest(array['anon', 'authenticated', 'service_role']) r"
    )
    bare.sql("drop table private; drop sequence private_seq")
    assert [(each["t"], each["s"]) for each in rights] == [(False, False)] * 3


def test_roles_are_as_hosted(bare: StackThread) -> None:
    rows = bare.sql(
        "select rolname, rolcanlogin, rolbypassrls, rolsuper, rolinherit from pg_roles "
        "where rolname in ('anon', 'authenticated', 'service_role', 'authenticator') order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("anon", False, False, False, False),
        ("authenticated", False, False, False, False),
        ("authenticator", True, False, False, False),
        ("service_role", False, True, False, False),
    ]
    assert bare.sql("select pubname from pg_publication order by 1") == [
        {"pubname": "supabase_realtime"},
        {"pubname": "supabase_realtime_messages_publication"},
    ]
    assert bare.sql("select auth.uid(), auth.role(), auth.email(), auth.jwt()") == [
        {"uid": None, "role": None, "email": None, "jwt": None}
    ]


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A PostgreSQL that is not the stack's own."""
    cluster = Cluster(tmp_path / "elsewhere" / "postgres", fsync=False)
    await cluster.start()
    yield cluster
    await cluster.stop()


async def test_a_database_that_somebody_else_runs(elsewhere: Cluster, tmp_path: Path) -> None:
    options = Options(database_url=elsewhere.dsn(), bcrypt_rounds=4)
    for _ in range(2):
        async with LocalStack(tmp_path / "stack", options=options) as stack:
            await stack.create_user("ann@example.com", "pw-pw-pw")
            assert (await sign_in(stack, "ann@example.com")).status_code == 200
    assert elsewhere.pid  # still running


async def test_somebody_elses_supabase_is_left_alone(elsewhere: Cluster, tmp_path: Path) -> None:
    async with await psycopg.AsyncConnection.connect(elsewhere.dsn()) as connection:
        await connection.execute("create schema auth; create role authenticator login password 'theirs'")
    with pytest.raises(StackError, match="already has a schema `auth`"):
        await LocalStack(tmp_path / "stack", options=Options(database_url=elsewhere.dsn())).start()


async def test_a_database_that_does_not_do_is_refused_with_the_reason(elsewhere: Cluster, tmp_path: Path) -> None:
    async with await psycopg.AsyncConnection.connect(elsewhere.dsn()) as connection:
        await connection.execute("create role plain login password 'x'")
    plain = make_conninfo(elsewhere.dsn(), user="plain", password="x")
    nowhere = make_conninfo(elsewhere.dsn(), host=str(tmp_path))
    for url, reason in ((plain, "not a superuser"), (nowhere, "does not answer")):
        with pytest.raises(StackError, match=reason):
            await LocalStack(tmp_path / "stack", options=Options(database_url=url)).start()


async def test_a_database_without_logical_decoding_is_refused(
    elsewhere: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert elsewhere.footing
    settings = elsewhere.footing.folder / "data" / "postgresql.conf"
    url = elsewhere.dsn()
    await elsewhere.stop()
    with settings.open("a") as conf:
        conf.write("wal_level = replica\n")
    monkeypatch.delitem(BEHAVIOUR, "wal_level")
    await elsewhere.start()
    with pytest.raises(StackError, match="wal_level=replica; Realtime needs logical"):
        await LocalStack(tmp_path / "stack", options=Options(database_url=url)).start()


async def test_a_database_that_cannot_be_prepared_says_why(elsewhere: Cluster) -> None:
    async with await psycopg.AsyncConnection.connect(elsewhere.dsn()) as connection:
        await connection.execute("create schema auth; create view auth.users as select 1 as id")
    with pytest.raises(StackError, match="could not be prepared"):
        await bootstrap(elsewhere.dsn(), "x")


# ── with the product's own schema ─────────────────────────────────────────────


async def test_another_projects_rows_are_never_visible(project: Project) -> None:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, enabled) values (%s, 'a', 'A', true), (%s, 'b', 'B', true)",
        *(project.project_id, project.other_project_id),
    )
    ours = f"project_id=in.({project.project_id},{project.other_project_id})"  # others' tests open projects to all
    seen = {}
    for name in ("operator", "viewer", "outsider"):
        person = getattr(project, name)
        api = Api(project.stack)
        answer = await api.post(
            "/auth/v1/token?grant_type=password", {"email": person.email, "password": person.password}
        )
        api.token = answer.json()["access_token"]
        seen[name] = {row["job_id"] for row in (await api.get(f"/rest/v1/cron_mirror?select=job_id&{ours}")).json()}
        await api.http.aclose()
    assert seen == {"operator": {"a"}, "viewer": {"a"}, "outsider": {"b"}}
