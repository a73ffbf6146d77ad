"""What a running job prints is seen while it runs, by those who may see it, and once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.person import cronmirror, sign_in
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


async def test_a_person_follows_a_request_and_reads_it_again(
    start_agent: StartAgent, operator: Operator, project: Project, tmp_path: Path
) -> None:
    talk = Talk(tmp_path / "talk")
    agent = start_agent(FIFO.format(fifo=tmp_path / "talk"), TOKEN="sesame-open")
    await mirrored(operator, 2, timeout=30)
    await sign_in(agent, project.operator)
    asking = await cronmirror(agent, "request", "talk", "--follow")
    await agent.wait_event("run started", timeout=30)
    talk.say(r"one\n")
    await wait_until(lambda: asking.out == "one\n", 30)
    watching = await cronmirror(agent, "logs", "talk", "--follow")
    await wait_until(lambda: watching.out == "one\n", 30)
    peeking = await cronmirror(agent, "logs", "talk")
    assert (await peeking.ended(), peeking.out) == (0, "one\n")
    assert "still running" in peeking.err
    talk.say(r"two\033]0;owned\007\n")
    talk.end()
    shown = "one\ntwo\ufffd]0;owned\ufffd\n"
    assert (await asking.ended(), asking.out) == (0, shown), asking.err
    assert (await watching.ended(), watching.out) == (0, shown), watching.err
    assert "done after" in asking.err
    assert "ok after" in watching.err
    (run,) = await operator.select("cron_runs", job_id="eq.talk")
    again = await cronmirror(agent, "logs", run["request_id"][:14])
    assert (await again.ended(), again.out) == (0, shown), again.err
    nobody = await cronmirror(agent, "logs", "no-such-job")
    assert await nobody.ended() == 5
    assert 'there is no run "no-such-job"' in nobody.err


async def test_ctrl_c_cancels_what_was_asked_for_and_the_second_leaves_at_once(
    start_agent: StartAgent, operator: Operator, project: Project, tmp_path: Path
) -> None:
    deaf = f"trap '' TERM; echo $$ > {tmp_path}/begun; sleep 300"
    agent = start_agent(f'jobs:\n  long: {{shell: "echo begun; sleep 300"}}\n  deaf: {{shell: "{deaf}", grace: 60s}}\n')
    await mirrored(operator, 2, timeout=30)
    await sign_in(agent, project.operator)
    asking = await cronmirror(agent, "request", "long", "--follow")
    await wait_until(lambda: asking.out == "begun\n", 30)
    asking.process.send_signal(signal.SIGINT)
    assert await asking.ended() == 130
    assert "cancelling it; Ctrl-C again leaves at once" in asking.err
    (row,) = await operator.select("cron_run_requests")
    assert (row["status"], row["result"]["reason"]) == ("error", "cancelled")

    asking = await cronmirror(agent, "request", "deaf", "--wait")
    begun = tmp_path / "begun"
    await wait_until(lambda: begun.exists() and begun.read_text(), 30)
    asking.process.send_signal(signal.SIGINT)
    await agent.wait_event("cancelling a request", 2)
    asking.process.send_signal(signal.SIGINT)
    assert await asking.ended(10) == 130
    assert "Traceback" not in asking.err
    (row,) = await operator.select("cron_run_requests", job_id="eq.deaf")
    assert row["status"] == "running"
    os.killpg(int(begun.read_text()), signal.SIGKILL)
