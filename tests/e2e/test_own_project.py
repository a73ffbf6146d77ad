"""README, "Use your own Supabase project": both roads, on a database prepared like a hosted one.

PostgreSQL 15 where it is installed (else the embedded one), privileges of old hosted projects, the tables of a page
builder with rows and open policies inside; the migrations are pasted as `cronmirror migrate --print` prints them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from agent.cli.demo.operator import Operator
from agent.localstack.binaries import locate
from agent.localstack.stack import Options
from tests.e2e.conftest import ended, mirrored
from tests.support.agent_process import AgentProcess
from tests.support.stack import StackThread
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("own project")]

ROOT = Path(__file__).parents[2]
PG15 = Path("/usr/lib/postgresql/15/bin")
OLD_PRIVILEGES = """
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
"""


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    binaries = locate(PG15) if (PG15 / "postgres").exists() else locate()
    options = Options(fsync=False, bcrypt_rounds=4, binaries=binaries)
    stack = StackThread(tmp_path_factory.mktemp("hosted") / "stack", options=options)
    try:
        stack.start()
        paste(stack, OLD_PRIVILEGES)
        paste(stack, (ROOT / "tests/sql/builder.sql").read_text())
        printed = subprocess.run(
            [sys.executable, "-m", "agent", "migrate", "--print"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        paste(stack, printed.stdout)
        yield stack
    finally:
        stack.close()


def paste(stack: StackThread, sql: str) -> None:
    """As the SQL editor does: the whole text in one go."""
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        connection.execute(sql.encode())


def config(project: str, more: str) -> str:
    return (
        f"project: {project}\nagent: {{id: mac}}\n{more}"
        "jobs:\n  nightly-backup: {name: Backup, schedule: '0 3 * * *', run: [echo, backed up]}\n"
    )


async def test_a_page_with_sign_in(hosted: StackThread, tmp_path: Path) -> None:
    for email in ("you@example.com", "mac-mini@example.com"):
        hosted.create_user(email, "correct horse")
    readme = (ROOT / "README.md").read_text()
    (members,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    paste(hosted, members.replace("home-lab", "my-box"))
    supabase = "supabase: {url: '${URL}', key: '${KEY}', email: mac-mini@example.com, password: '${PASSWORD}'}\n"
    secrets = {"URL": hosted.url, "KEY": hosted.keys.publishable_key, "PASSWORD": "correct horse"}
    agent = AgentProcess(tmp_path / "mac", config("my-box", supabase), secrets).start()
    try:
        async with Operator(hosted.url, hosted.keys.publishable_key, "my-box") as you:
            await you.sign_in("you@example.com", "correct horse")
            await mirrored(you, 1)
            row = await ended(you, (await you.press_run("nightly-backup"))["id"])
            assert (row["status"], row["result"]["stdout_tail"]) == ("done", "backed up\n")
        async with Operator(hosted.url, hosted.keys.publishable_key, "my-box") as stranger:
            assert await stranger.select("cron_mirror") == []
            assert await stranger.select("cron_runs") == []
            with pytest.raises(Exception, match="row-level security"):
                await stranger.press_run("nightly-backup")
    finally:
        agent.stop()


async def test_a_page_as_it_is_without_sign_in(hosted: StackThread, tmp_path: Path) -> None:
    """`home-lab` had open policies before the migration, so its page lives on; nothing old is fired."""
    open_access = (ROOT / "migrations/optional/open_access.sql").read_text()
    paste(hosted, open_access.replace("'YOUR-PROJECT'", "'home-lab'"))
    more = "accept: [open_access]\nsupabase: {url: '${URL}', key: '${KEY}'}\n"
    secrets = {"URL": hosted.url, "KEY": hosted.keys.anon_key}
    agent = AgentProcess(tmp_path / "mac", config("home-lab", more), secrets).start()
    headers = {"apikey": hosted.keys.anon_key, "Authorization": f"Bearer {hosted.keys.anon_key}"}
    try:
        async with httpx.AsyncClient(base_url=f"{hosted.url}/rest/v1", headers=headers) as page:

            async def rows(table: str, **filters: str) -> list[dict[str, Any]]:
                answer = await page.get(f"/{table}", params={"select": "*", "project_id": "eq.home-lab", **filters})
                assert answer.status_code == 200, answer.text
                return list(answer.json())

            async def adopted() -> bool:
                jobs = await rows("cron_mirror", job_id="eq.nightly-backup")
                return [job["name"] for job in jobs] == ["Backup"]

            await wait_until(adopted, 20)
            assert {job["job_id"] for job in await rows("cron_mirror")} == {"nightly-backup", "old-job"}
            pressed = await page.post(
                "/cron_run_requests",
                params={"select": "id"},
                headers={"Prefer": "return=representation"},
                json={
                    "project_id": "home-lab",
                    "job_id": "nightly-backup",
                    "requested_by": "ui",
                    "status": "queued",
                },
            )
            assert pressed.status_code == 201, pressed.text
            request_id = pressed.json()[0]["id"]

            async def done() -> dict[str, Any] | None:
                (row,) = await rows("cron_run_requests", id=f"eq.{request_id}")
                return row if row["status"] in ("done", "error") else None

            row = await wait_until(done, 20)
            assert (row["status"], row["result"]["stdout_tail"]) == ("done", "backed up\n")
            old = [each for each in await rows("cron_run_requests") if each["id"] != request_id]
            assert len(old) == 3
            assert {each["status"] for each in old if each["claimed_by"]} <= {"done"}
            for months_old in (each for each in old if each["requested_at"] < row["requested_at"][:10]):
                assert months_old["result"] is None or months_old["result"]["reason"] in ("expired", "lost")
            denied = await page.patch("/cron_run_requests", params={"id": f"eq.{request_id}"}, json={"status": "done"})
            assert denied.status_code in (401, 403)
    finally:
        agent.stop()
