"""`cronmirror local`: a stack that is a person's home, in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.agent_process import ROOT, AgentProcess
from tests.support.certificate import make_tls
from tests.support.local import Local, local_in
from tests.support.processes import alive
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = """
project: home
agent: {id: box}
supabase:
  url: ${SUPABASE_URL}
  key: ${SUPABASE_PUBLISHABLE_KEY}
  email: box@example.com
  password: ${CRONMIRROR_PASSWORD}
jobs:
  hello: {run: [echo, hello]}
"""


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with local_in(tmp_path / "stack") as one:
        yield one


async def test_a_person_gets_going_by_what_it_prints(local: Local, tmp_path: Path) -> None:
    said = await local.start()
    assert f"http://127.0.0.1:{local.port}" in said
    for verb in ("local member", "local env", "--role agent"):
        assert verb in said
    await local.ok("member", "me@example.com", stdin="correct horse\n")
    secrets = tmp_path / "secrets.env"
    said = await local.ok("member", "box@example.com", "--role", "agent", "--env-file", str(secrets))
    assert secrets.stat().st_mode & 0o777 == 0o600
    for line in JOBS.splitlines()[3:8]:
        assert line.strip() in said
    given = dict(line.split("=", 1) for line in secrets.read_text().splitlines())
    agent = AgentProcess(tmp_path / "agent", JOBS, given).start()
    try:
        async with local.signed_in("me@example.com", "correct horse") as http:

            async def mirrored() -> bool:
                return bool((await http.get("/rest/v1/cron_mirror?select=job_id&job_id=eq.hello")).json())

            await wait_until(mirrored, 45)
            asked = {"project_id": "home", "job_id": "hello", "requested_by": "ui", "status": "queued"}
            assert (await http.post("/rest/v1/cron_run_requests", json=asked)).status_code == 201

            async def done() -> bool:
                return bool((await http.get("/rest/v1/cron_run_requests?status=eq.done&select=id")).json())

            await wait_until(done, 45)
    finally:
        agent.kill()
    assert "me@example.com" in await local.ok("members")
    assert "Nobody can sign in" not in await local.start()  # runs already: says where


async def test_it_is_there_again_under_the_same_address_after_a_stop(local: Local) -> None:
    await local.start()
    await local.ok("member", "me@example.com", "--role", "viewer", stdin="correct horse\n")
    before, processes = await local.facts(), local.processes()
    assert (before["state"], before["members"], before["projects"]) == ("running", 1, 1)
    env = await local.ok("env")
    await local.ok("stop")
    assert not [each for each in processes if alive(each.pid)]
    assert (await local.facts())["state"] == "stopped"
    assert await local.ok("env") == env  # stopped or not
    await local.ok("start", "--detach")  # without --port
    after = await local.facts()
    assert (after["url"], after["members"]) == (before["url"], 1)
    async with local.signed_in("me@example.com", "correct horse"):
        pass
    assert (await local.run("status")).returncode == 0


async def test_each_start_applies_the_migrations_of_this_version_and_none_serves_a_newer_schema(local: Local) -> None:
    await local.start()
    assert (await local.facts())["schema"] == 1
    with psycopg.connect(local.home.dsn() or "") as connection:
        connection.execute("drop function public.cron_schema_version()")  # as of a version that did not have it
    await local.ok("stop")
    await local.start()
    assert (await local.facts())["schema"] == 1
    newer = "create or replace function public.cron_schema_version() returns integer language sql as 'select 99'"
    with psycopg.connect(local.home.dsn() or "") as connection:
        connection.execute(newer.encode())
    await local.ok("stop")
    refused = await local.run("start", "--detach")
    assert (refused.returncode, "newer" in refused.stderr) == (5, True), refused.stderr
    assert local.home.holder is None


async def test_killed_at_any_time_it_starts_again_and_has_what_was_acknowledged(local: Local) -> None:
    await local.start()
    acknowledged: list[int] = []
    for round_, whom in enumerate(("the stack", "all of it", "the stack")):
        with psycopg.connect(local.home.dsn() or "", autocommit=True) as connection:
            connection.execute("create table if not exists public.kept (n int primary key)")
            writer = asyncio.create_task(asyncio.to_thread(_write, connection, acknowledged, round_ * 1_000_000))
            begun = len(acknowledged)
            await wait_until(lambda begun=begun: len(acknowledged) > begun + 20)
            victims = local.processes() if whom == "all of it" else local.processes()[:1]
            for each in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
            await writer
        await local.start()
        with psycopg.connect(local.home.dsn() or "") as connection:
            kept = {row[0] for row in connection.execute("select n from public.kept").fetchall()}
        assert set(acknowledged) - kept == set()
    assert (await local.facts())["state"] == "running"


def _write(connection: psycopg.Connection, acknowledged: list[int], n: int) -> None:
    """One row after the other until the connection breaks."""
    with contextlib.suppress(psycopg.Error):
        while True:
            connection.execute("insert into public.kept values (%s)", [n])
            acknowledged.append(n)
            n += 1


async def test_a_port_that_is_taken_is_named_and_another_one_is_remembered(local: Local) -> None:
    await local.start()
    await local.ok("stop")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", local.port))
        taken.listen()
        refused = await local.run("start", "--detach")
        assert (refused.returncode, f"port {local.port}" in refused.stderr) == (5, True)
        assert local.home.holder is None
        other = Local(local.home.folder)
        await other.start()
    assert (await other.facts())["url"] == f"http://127.0.0.1:{other.port}"
    await other.ok("stop")
    assert local.home.settings.port == other.port


async def test_in_the_foreground_it_ends_by_a_signal_and_leaves_nothing_running(local: Local) -> None:
    command = [sys.executable, "-m", "agent", "local", "start", "--dir", str(local.home.folder)]
    process = await asyncio.create_subprocess_exec(
        *(*command, "--port", str(local.port), "--project", "attic"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    await wait_until(lambda: (found := local.home.holder) and found.url, 60)
    assert local.pid == process.pid
    processes = local.processes()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{local.port}/config.json")).json()["project"] == "attic"
    second = await local.run("start")
    assert (second.returncode, f"process {process.pid}" in second.stderr) == (5, True)
    process.send_signal(signal.SIGTERM)
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"Nobody can sign in yet" in said
    assert not [each for each in processes if alive(each.pid)]


async def test_what_env_prints_can_be_used_as_it_is(local: Local) -> None:
    await local.start()
    facts = json.loads(await local.ok("env", "-f", "json"))
    assert list(facts) == ["SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY"]
    assert _sourced(await local.ok("env"), "SUPABASE_PUBLISHABLE_KEY") == facts["SUPABASE_PUBLISHABLE_KEY"]
    dotenv = await local.ok("env", "-f", "dotenv", "--prefix", "VITE_")
    assert dotenv.splitlines()[0] == f"VITE_SUPABASE_URL={facts['SUPABASE_URL']}"
    for form in ("shell", "dotenv", "json"):
        assert "sb_secret_" not in await local.ok("env", "-f", form)
    secret = await local.ok("env", "--secret", "-f", "dotenv", "--prefix", "VITE_")
    assert "VITE_SUPABASE_SECRET_KEY" not in secret  # a bundler would publish it
    assert "# The secret key may do everything" in secret
    with psycopg.connect(dict(line.split("=", 1) for line in secret.splitlines() if "=" in line)["SUPABASE_DB_URL"]):
        pass


def _sourced(lines: str, name: str) -> str:
    """What a shell knows after these lines."""
    return subprocess.run(
        ["sh", "-c", f'{lines}\nprintf %s "${name}"'], capture_output=True, text=True, check=True
    ).stdout


async def test_members_come_and_go_while_it_is_stopped_too(local: Local) -> None:
    await local.start()
    await local.ok("stop")
    await local.ok("member", "a@example.com", "--role", "viewer", stdin="one\n")
    await local.ok("member", "a@example.com", "--role", "operator", "--project", "attic")  # known: no password asked
    await local.ok("member", "a@example.com", "--new-password", stdin="two\n")
    found = json.loads(await local.ok("members", "--json"))
    assert [(each["project"], each["role"]) for each in found] == [("attic", "operator"), ("home", "admin")]
    await local.ok("member", "a@example.com", "--project", "attic", "--remove")
    assert "was not in" in await local.ok("member", "a@example.com", "--project", "attic", "--remove")
    assert len(json.loads(await local.ok("members", "--json"))) == 1
    for wrong, words in (("nonsense", "no address"), ("b@example.com", "at least one character")):
        refused = await local.run("member", wrong)
        assert refused.returncode != 0
        assert words in refused.stderr
    await local.start()
    async with local.signed_in("a@example.com", "two") as http:
        assert (await http.get("/auth/v1/user")).status_code == 200
        await local.ok("member", "a@example.com", "--new-password", stdin="three\n")
        assert (await http.get("/auth/v1/user")).status_code == 403  # whoever knew the old password is out


async def test_where_nothing_was_started_every_verb_says_so(local: Local) -> None:
    assert "no local stack runs" in await local.ok("stop")
    assert (await local.facts())["state"] == "none"
    for words in (["env"], ["members"], ["member", "a@example.com"]):
        refused = await local.run(*words, stdin="x\n")
        assert (refused.returncode, "cronmirror local start" in refused.stderr) == (5, True)


async def test_it_can_be_a_service(local: Local, tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (fake / "systemctl").chmod(0o755)
    (fake / "loginctl").symlink_to(fake / "systemctl")
    local.environ = {"HOME": str(tmp_path), "PATH": f"{fake}:{os.environ['PATH']}"}
    shown = await local.run("install", "--dry-run")
    assert f"local start --dir {local.home.folder}" in shown.stdout
    assert "would run: systemctl --user enable cronmirror.local-stack" in shown.stderr
    assert not local.home.folder.exists()
    said = await local.ok("install")
    (unit,) = (tmp_path / ".config/systemd/user").iterdir()
    assert str(unit) in said
    assert "would stop" in (await local.run("uninstall", "--dry-run")).stderr
    assert "removed" in await local.ok("uninstall")
    assert not unit.exists()
    await local.start()
    refused = await local.run("install")
    assert (refused.returncode, "already running" in refused.stderr) == (5, True)


async def test_beyond_loopback_it_warns_loudly_or_speaks_tls_and_remembers(local: Local, tmp_path: Path) -> None:
    said = await local.run(*local.start_options(), "--listen", "0.0.0.0")  # noqa: S104 # what is warned about
    assert said.returncode == 0, said.stderr
    assert "WITHOUT TLS" in said.stderr
    assert "WITHOUT TLS" in local.home.log.read_text()
    refused = await local.run("start", "--detach", "--listen", "127.0.0.1")
    assert (refused.returncode, "already running" in refused.stderr) == (5, True)
    await local.ok("stop")
    tls = make_tls(tmp_path)
    half = await local.run("start", "--detach", "--tls-cert", str(tls.certificate))
    assert (half.returncode, "belong together" in half.stderr) == (2, True)
    files = ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)]
    assert "WITHOUT TLS" not in (await local.run("start", "--detach", *files, "--host-name", "localhost")).stderr
    await local.ok("stop")
    assert f"https://localhost:{local.port}" in await local.ok("env")
    await local.start()
    facts = await local.facts()
    assert (facts["state"], facts["url"]) == ("running", f"https://localhost:{local.port}")
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=tls.certificate)) as http:
        assert (await http.get(f"{facts['url']}/config.json")).json()["url"] == facts["url"]
    await local.ok("stop")
    await local.ok("start", "--detach", "--no-tls", "--listen", "127.0.0.1")
    assert (await local.facts())["url"] == f"http://localhost:{local.port}"
