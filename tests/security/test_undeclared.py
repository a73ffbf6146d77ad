"""The UI can never run what the YAML does not declare: not with an admin's login, not with the whole database."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.security.conftest import CallAs
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

JOBS = """\
sync: {{mirror_every: 30s, poll_every: 1s}}
jobs:
  plain: {{shell: 'env > {folder}/env; printf "%s|" "$0" "$@" >> {folder}/ran'}}
  sized: {{shell: 'cat >> {folder}/ran', payload: {{type: object, properties: {{name: {{type: string}}}}}}}}
  off: {{shell: 'echo off >> {folder}/ran', enabled: false}}
"""
UNDECLARED = ("evil", "Plain", "plain ", "../plain", "plain;id", "*", "%", "/bin/sh", "pl\u0430in")
SHELL = "'; touch {0}/pwned; $(touch {0}/pwned) `touch {0}/pwned` \" | touch {0}/pwned # ${{IFS}}"


async def test_requests_rows_and_mirrors_of_any_making_start_nothing_but_declared_commands(
    start_agent: StartAgent, operator: Operator, project: Project, call_as: CallAs, tmp_path: Path
) -> None:
    start_agent(JOBS.format(folder=tmp_path))
    await mirrored(operator, 3)
    await forge(project, call_as, tmp_path)
    undeclared = [(await operator.press_run(job_id))["id"] for job_id in UNDECLARED]
    off = await ended(operator, (await operator.press_run("off"))["id"])
    assert off["result"]["reason"] == "rejected"
    for payload in ({"shell": "id"}, ["id"], "id", {"env": {"PATH": "/tmp"}}):
        row = await ended(operator, (await operator.rpc("cron_request_run", p_job_id="plain", p_payload=payload))["id"])
        assert row["result"]["reason"] == "rejected"
        assert row["attempts"] == 1
    assert not (tmp_path / "ran").exists()

    harmless = {"name": SHELL.format(tmp_path), "CRONMIRROR_PAYLOAD": "/etc/passwd", "PATH": str(tmp_path)}
    asked = await operator.rpc("cron_request_run", p_job_id="sized", p_payload=harmless, p_requested_by="$(id)")
    assert (await ended(operator, asked["id"]))["status"] == "done"
    assert SHELL.format(tmp_path).split("; ")[0] in (tmp_path / "ran").read_text()
    (tmp_path / "ran").unlink()
    assert (await ended(operator, (await operator.press_run("plain"))["id"]))["status"] == "done"
    assert (tmp_path / "ran").read_text() == "/bin/sh|"  # no argument came from anywhere
    assert "touch" not in (tmp_path / "env").read_text()
    assert not (tmp_path / "pwned").exists()

    rows = project.sql("select status, claimed_by from cron_run_requests where id = any(%s::uuid[])", undeclared)
    assert rows == [{"status": "queued", "claimed_by": None}] * len(UNDECLARED)
    ran = project.sql("select distinct job_id from cron_runs where project_id = %s", project.project_id)
    assert {each["job_id"] for each in ran} == {"plain", "sized", "off"}


async def forge(project: Project, call_as: CallAs, folder: Path) -> None:
    """Another agent of the project mirrors such jobs; then somebody who owns the database changes all there is."""
    other = await call_as(project.add_person("agent", agent_id="other"))
    await other.hello("other")
    forged: list[dict[str, Any]] = [
        {"job_id": job_id, "placement": "any", "instructions": f"touch {folder}/pwned"} for job_id in UNDECLARED
    ]
    assert (await other.sync("other", *forged)).json()["upserted"] == len(UNDECLARED)
    project.sql(
        "update cron_mirror set agent_ids = '{mac,other}', enabled = true, accepts = '{}', instructions = %s, "
        'retry = \'{"max_attempts": 100, "on": ["rejected", "exit_code"]}\' where project_id = %s',
        *(f"touch {folder}/pwned", project.project_id),
    )
    project.sql("alter table cron_run_requests disable trigger user")
    try:
        project.sql(
            "insert into cron_run_requests (id, project_id, job_id, payload, run_at, expires_at, max_attempts) "
            "values (%s, %s, 'evil', '{\"run\": [\"touch\", \"pwned\"]}', now(), now() + interval '1 day', 99)",
            *(uuid4(), project.project_id),
        )
    finally:
        project.sql("alter table cron_run_requests enable trigger user")
