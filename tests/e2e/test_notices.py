"""An agent, a mail server, a webhook and a watchman, all real: who hears of what, once, and what the page may show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.http_server import Server, plain, serving
from tests.support.smtp import smtp_server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

JOBS = """\
notify:
  channels:
    mail: {{url: "${{MAIL}}", types: [integration_disconnected]}}
    hook: "${{HOOK}}"
  ping: {watchman}/agent
jobs:
  flaky:
    shell: 'echo "key is $KEY"; test -e {flag}'
    env: {{KEY: "${{KEY}}"}}
    ping: {watchman}/flaky
  vital: {{run: ["false"], severity: critical}}
  dull: {{run: ["false"]}}
"""


def titles(hook: Server) -> list[str]:
    return [json.loads(each.body)["title"] for each in hook.asked]


async def test_a_job_fails_and_works_again_and_everybody_who_wants_to_hears_of_it_once(
    start_agent: StartAgent, operator: Operator, project: Any, tmp_path: Path
) -> None:
    flag = tmp_path / "works"

    async def run(job: str) -> None:
        asked = await operator.rpc("cron_request_run", p_job_id=job)
        await ended(operator, asked["id"])

    async def delivered(count: int) -> dict[str, dict[str, Any]]:
        rows = await operator.select("cron_notifications")
        over = [
            row
            for row in rows
            if row["deliveries"] and all(each["state"] != "waiting" for each in row["deliveries"].values())
        ]
        return {row["title"]: row for row in over} if len(over) >= count else {}

    async with smtp_server() as mailbox, serving(plain(b"")) as hook, serving(plain(b"OK")) as watchman:
        secrets = {
            "HOOK": f"json://{hook.url.removeprefix('http://')}/hook",
            "MAIL": mailbox.url(),
            "KEY": "s3cret-of-flaky",
        }
        start_agent(JOBS.format(watchman=watchman.url, flag=flag), **secrets)
        await mirrored(operator, 3)
        project.sql(
            "select cron_raise(%s, 'agent_offline', 'critical', 'nas is offline', '', 'agent:nas', 'offline:1')",
            project.project_id,
        )
        await operator.rpc("cron_snooze", p_subject="job:dull", p_until="2027-06-01T00:00:00Z")
        for job in ("flaky", "flaky", "vital", "dull"):
            await run(job)
        await wait_until(lambda: "flaky failed" in titles(hook), 60)
        flag.touch()
        await run("flaky")
        rows = await wait_until(lambda: delivered(5), 60)
        await wait_until(lambda: len(watchman.asked) >= 7)

    assert sorted(titles(hook)) == ["flaky failed", "flaky works again", "nas is offline", "vital failed"]
    assert sorted(str(mail["subject"]) for mail in mailbox.mails) == ["nas is offline", "vital failed"]
    states = {
        title: {channel: each["state"] for channel, each in row["deliveries"].items()} for title, row in rows.items()
    }
    assert states == {
        "flaky failed": {"mac/hook": "sent"},
        "flaky works again": {"mac/hook": "sent"},
        "vital failed": {"mac/hook": "sent", "mac/mail": "sent"},
        "dull failed": {"mac/hook": "snoozed"},
        "nas is offline": {"mac/hook": "sent", "mac/mail": "sent"},
    }
    assert "key is ***" in rows["flaky failed"]["body"]
    assert rows["flaky failed"]["subject"] == "job:flaky"

    pinged = [each.path.partition("?")[0] for each in watchman.asked]
    assert [path for path in pinged if path != "/agent"] == [
        *("/flaky/start", "/flaky/fail") * 2,
        *("/flaky/start", "/flaky"),
    ]
    assert "/agent" in pinged
    said = "".join(str(each) for each in (*hook.asked, *watchman.asked, *mailbox.mails, rows))
    assert "s3cret-of-flaky" not in said
