"""What a running job prints is seen while it runs, by those who may see it, and once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.stack import Person, Project
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

FIFO = """jobs:
  talk: {{shell: 'while read -r line; do printf "$line"; done < {fifo}', env: {{TOKEN: "${{TOKEN}}"}}}}
  short: {{run: [echo, hello]}}
"""


class Talk:
    """A job that prints what it is told, when it is told."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._pipe: Any = None

    def say(self, line: str) -> None:
        if self._pipe is None:
            self._pipe = self._path.open("w")
        self._pipe.write(line + "\n")
        self._pipe.flush()

    def end(self) -> None:
        self._pipe.close()


async def pieces(operator: Operator, run_id: str, after: int = -1) -> list[dict[str, Any]]:
    """As a page asks for them, once a second."""
    url = "/rest/v1/cron_run_logs"
    params = {"select": "*", "run_id": f"eq.{run_id}", "seq": f"gt.{after}", "order": "seq"}
    return list(await operator._call("GET", url, params=params))


async def running(operator: Operator, request_id: str) -> str:
    """The id of its run, once it has begun."""

    async def look() -> list[dict[str, Any]]:
        return await operator.select("cron_runs", request_id=f"eq.{request_id}")

    return (await wait_until(look))[0]["id"]


async def test_output_is_seen_while_the_job_runs(
    start_agent: StartAgent, operator: Operator, project: Project, tmp_path: Path
) -> None:
    talk = Talk(tmp_path / "talk")
    agent = start_agent(FIFO.format(fifo=tmp_path / "talk"), TOKEN="sesame-open")
    await mirrored(operator, 2)
    request = await operator.press_run("talk")
    await agent.wait_event("run started")
    talk.say(r"\033[32mgreen\033[0m sesame-")
    run = await running(operator, request["id"])
    (first,) = await wait_until(lambda: pieces(operator, run))
    assert (first["seq"], first["stream"], first["text"]) == (0, "stdout", "\x1b[32mgreen\x1b[0m ")
    talk.say(r"open \377 \303")
    await wait_until(lambda: pieces(operator, run, 0))
    talk.say(r"\251\n")
    talk.end()
    row = await ended(operator, request["id"])
    live = await wait_until(lambda: whole(operator, run))
    assert "".join(piece["text"] for piece in live) == "\x1b[32mgreen\x1b[0m *** \ufffd é\n"
    assert row["result"]["stdout_tail"] == "\x1b[32mgreen\x1b[0m *** \ufffd é\n"
    assert [await seen_by(project, who, run) for who in (project.viewer, project.outsider, None)] == [len(live), 0, 0]


async def whole(operator: Operator, run_id: str) -> list[dict[str, Any]]:
    """All pieces, once the last is there."""
    found = await pieces(operator, run_id)
    return found if found and not found[-1]["text"] else []


async def seen_by(project: Project, who: Person | None, run_id: str) -> int:
    headers = {"apikey": project.keys.publishable_key}
    async with httpx.AsyncClient(base_url=project.url, headers=headers, timeout=20) as http:
        if who is not None:
            credentials = {"email": who.email, "password": who.password}
            session = await http.post("/auth/v1/token", params={"grant_type": "password"}, json=credentials)
            http.headers["authorization"] = f"Bearer {session.json()['access_token']}"
        return len((await http.get("/rest/v1/cron_run_logs", params={"run_id": f"eq.{run_id}"})).json())


async def test_a_short_run_costs_no_request_for_its_output(
    start_agent: StartAgent, operator: Operator, project: Project
) -> None:
    start_agent(FIFO.format(fifo="/dev/null"), TOKEN="sesame-open")
    await mirrored(operator, 2)
    request = await operator.press_run("short")
    row = await ended(operator, request["id"])
    assert row["result"]["stdout_tail"] == "hello\n"
    assert await pieces(operator, row["result"]["run_id"]) == []
