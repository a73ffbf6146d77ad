"""Jobs and requests that are wrong: each is refused or ended in words, in its place, and the agent goes on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.cli.demo.operator import Operator
from agent.errors import Refused
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.processes import alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MARK = 100
"""Room for the line that says how much was left out."""
SYNC = "sync: {mirror_every: 30s, poll_every: 2s}\n"
KIB64 = 65_536
FLOOD = 100 * 1024 * 1024


async def test_a_command_that_cannot_be_started_says_what_to_mend(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    script = tmp_path / "plain.sh"
    script.write_text("echo never")
    start_agent(
        f"""{SYNC}jobs:
  nowhere: {{run: [no-such-command-anywhere, "1"]}}
  no-workdir: {{run: [echo, never], workdir: {tmp_path}/gone}}
  not-executable: {{run: ["{script}"]}}
  hello: {{run: [echo, hello]}}
"""
    )
    await mirrored(operator, 4)
    rows = await _run_all(operator, "nowhere", "no-workdir", "not-executable", "hello")
    for job, words in (
        ("nowhere", "no-such-command-anywhere"),
        ("no-workdir", f"{tmp_path}/gone"),
        ("not-executable", str(script)),
    ):
        row = rows[job]
        assert (row["status"], row["result"]["reason"]) == ("error", "spawn_failed")
        assert words in row["result"]["error"]
        (run,) = await operator.select("cron_runs", request_id=f"eq.{row['id']}")
        assert (run["status"], run["reason"], run["exit_code"]) == ("error", "spawn_failed", None)
        assert words in run["error"]
    assert rows["hello"]["status"] == "done"


async def test_floods_of_output_are_cut_and_cleaned_while_the_schedule_goes_on(
    start_agent: StartAgent, operator: Operator
) -> None:
    """100 MB without a line break, of random bytes, and of NULs: bounded, readable, and the ending is kept."""
    agent = start_agent(
        f"""{SYNC}jobs:
  line: {{shell: "head -c {FLOOD} /dev/zero | tr '\\\\0' x; echo the end", timeout: 2m}}
  binary: {{shell: "head -c {FLOOD} /dev/urandom >&2; echo the end >&2", timeout: 2m}}
  nul: {{shell: "echo begin; head -c 1000 /dev/zero; echo the end; exit 4"}}
  tick: {{every: 1s, run: [echo, tick]}}
"""
    )
    await mirrored(operator, 4)
    rows = await _run_all(operator, "line", "binary", "nul", timeout=90)
    for row in rows.values():
        assert len(row["result"]["stdout_tail"]) <= KIB64 + MARK
        assert len(row["result"]["stderr_tail"]) <= KIB64 + MARK
        assert "\0" not in str(row["result"])
        (run,) = await operator.select("cron_runs", request_id=f"eq.{row['id']}")
        assert len(run["output"].encode()) <= 2 * KIB64 + MARK
    assert [rows[job]["status"] for job in ("line", "binary", "nul")] == ["done", "done", "error"]
    assert rows["line"]["result"]["stdout_tail"].endswith("x" * 1000 + "the end\n")
    assert rows["binary"]["result"]["stderr_tail"].endswith("the end\n")
    nul = rows["nul"]["result"]
    assert (nul["reason"], nul["exit_code"]) == ("exit_code", 4)
    assert nul["stdout_tail"] == "begin\n" + "\N{REPLACEMENT CHARACTER}" * 1000 + "the end\n"

    assert psutil.Process(agent.pid).memory_info().rss < 250 * 1024 * 1024
    ticks = await operator.select("cron_runs", job_id="eq.tick", order="scheduled_for")
    assert {tick["status"] for tick in ticks} <= {"ok", "running"}


async def test_a_job_that_ignores_term_or_leaves_children_is_ended_with_all_it_started(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    def pids(name: str) -> str:
        return f"{tmp_path}/{name}.pids"

    start_agent(
        f"""{SYNC}jobs:
  stubborn:
    shell: "trap '' TERM; echo $$ >> {pids("stubborn")}; while :; do sleep 0.2; done"
    timeout: 1s
    grace: 1s
  parent: {{shell: "sleep 300 & echo $! >> {pids("parent")}; echo left"}}
  runaway: {{shell: "setsid sleep 301 >/dev/null 2>&1 & echo $! >> {pids("runaway")}; sleep 0.2; echo left"}}
"""
    )
    await mirrored(operator, 3)
    rows = await _run_all(operator, "stubborn", "parent", "runaway", timeout=30)
    stubborn = rows["stubborn"]
    assert (stubborn["status"], stubborn["result"]["reason"]) == ("error", "timeout")
    assert 2_000 <= stubborn["result"]["duration_ms"] < 15_000
    for job in ("parent", "runaway"):
        assert (rows[job]["status"], rows[job]["result"]["stdout_tail"]) == ("done", "left\n")
    assert [pid for job in rows for pid in _left(Path(pids(job)))] == []


async def test_requests_that_cannot_be_served_are_refused_or_end_with_the_reason(
    start_agent: StartAgent, operator: Operator, project: Any
) -> None:
    never = await operator.press_run("no-such-job")
    waiting = await operator.press_run("not-yet")
    project.sql(
        "update cron_run_requests set requested_at = requested_at - interval '11 minutes' where id = %s", never["id"]
    )
    start_agent(
        f"""{SYNC}jobs:
  off: {{run: [echo, never], enabled: false}}
  plain: {{run: [echo, hello]}}
  not-yet: {{run: [echo, here now]}}
  sized:
    shell: 'wc -c < "$CRONMIRROR_PAYLOAD"'
    payload: {{type: object, properties: {{text: {{type: string}}}}, required: [text], additionalProperties: false}}
"""
    )
    await mirrored(operator, 4)
    unknown = await ended(operator, never["id"], timeout=25)
    assert (unknown["status"], unknown["result"]["reason"]) == ("error", "unknown_job")
    assert "no agent" in unknown["result"]["error"]
    assert (await ended(operator, waiting["id"], timeout=25))["status"] == "done"

    for job, payload, words in (
        ("off", None, "enabled"),
        ("sized", {"text": 1}, "payload.text"),
        ("sized", {"text": "a", "more": 1}, "more"),
        ("sized", None, "payload"),
        ("plain", {"text": "a"}, "payload"),
    ):
        row = await ended(operator, await _ask(operator, job, payload))
        assert (row["status"], row["result"]["reason"]) == ("error", "rejected")
        assert words in row["result"]["error"]
        (run,) = await operator.select("cron_runs", request_id=f"eq.{row['id']}")
        assert (run["status"], run["started_at"]) == ("skipped", None)
    big = await ended(operator, await _ask(operator, "sized", {"text": "x" * 250_000}))
    assert (big["status"], int(big["result"]["stdout_tail"]) > 250_000) == ("done", True)


async def test_a_payload_of_5_mb_and_a_forged_request_are_refused_at_the_door(operator: Operator, project: Any) -> None:
    heavy = {"text": "x" * (5 * 1024 * 1024)}
    with pytest.raises(Refused, match="262144") as by_rpc:
        await _ask(operator, "sized", heavy)
    assert by_rpc.value.status == 400
    for row, status in (
        ({"job_id": "sized", "payload": heavy}, {400, 403, 413}),
        ({"job_id": "sized", "status": "done"}, {400}),
        ({"job_id": "sized", "status": "running"}, {400}),
        ({"job_id": "sized", "claimed_by": "mac"}, {403}),
        ({"job_id": "sized", "status": "done", "result": {"ok": True}}, {403}),
        ({"job_id": "sized", "project_id": project.other_project_id}, {403}),
        ({"job_id": ""}, {400}),
        ({}, {400}),
    ):
        with pytest.raises(Refused) as refused:
            await _insert(operator, row)
        assert refused.value.status in status, (row.keys(), refused.value)
        assert str(refused.value)
    assert await operator.select("cron_run_requests") == []
    begun = datetime.now(UTC) - timedelta(seconds=5)
    forged = {"job_id": "sized", "requested_by": "somebody@else.example", "requested_at": "2020-01-01T00:00:00Z"}
    (mine,) = await _insert(operator, forged)
    assert mine["requested_by"] == project.operator.email
    assert datetime.fromisoformat(mine["requested_at"]) > begun
    assert (mine["status"], mine["claimed_by"], mine["attempts"]) == ("queued", None, 0)


async def _run_all(operator: Operator, *jobs: str, timeout: float = 45) -> dict[str, dict[str, Any]]:
    """Ask for each job once, at the same time; their ended requests by job."""
    requests = [await operator.press_run(job) for job in jobs]
    rows = await asyncio.gather(*(ended(operator, request["id"], timeout) for request in requests))
    return dict(zip(jobs, rows, strict=True))


async def _ask(operator: Operator, job: str, payload: Any) -> str:
    answer = await operator.rpc("cron_request_run", p_job_id=job, p_payload=payload)
    return str(answer["id"])


async def _insert(operator: Operator, row: dict[str, Any]) -> Any:
    """As any page could write it: straight into the table."""
    return await operator._call(
        "POST",
        "/rest/v1/cron_run_requests",
        json={"project_id": operator.project, **row},
        headers={"Prefer": "return=representation"},
    )


def _left(pids: Path) -> list[int]:
    """Those of the processes in this file that are still there; there was at least one."""
    started = [int(pid) for pid in pids.read_text().split()]
    assert started
    return [pid for pid in started if alive(pid)]
