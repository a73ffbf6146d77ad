"""One agent, three kinds of jobs for real: a request over HTTP, a function, a process within limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, ended, mirrored
from tests.support.http_server import Asked, plain, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]

JOBS = """\
jobs:
  call:
    http:
      url: {url}/hook
      headers: {{Authorization: "Bearer ${{TOKEN}}"}}
    payload: {{type: object}}
    retry: {{max_attempts: 2, base: 100ms}}
  function:
    python: {{call: "reports:total", kwargs: {{unit: EUR}}}}
    workdir: {folder}
    payload: {{type: object}}
  busy: {{run: [{python}, -c, "while True: pass"], limits: {{cpu_time: 1s, nice: 1}}}}
"""
REPORT = "async def total(unit, payload):\n    return {'total': sum(payload['sums']), 'unit': unit}\n"


async def test_requests_functions_and_limits_are_run_and_reported(
    start_agent: StartAgent, operator: Operator, tmp_path: Path
) -> None:
    (tmp_path / "reports.py").write_text(REPORT)

    async def answer(asked: Asked, writer) -> None:
        first = len([each for each in server.asked if each.path == "/hook"]) == 1
        writer.write(
            plain(status="503 Busy") if first else plain(b"you are " + asked.headers["authorization"].encode())
        )

    async with serving(answer) as server:
        start_agent(JOBS.format(url=server.url, folder=tmp_path, python=sys.executable), TOKEN="t0ken-of-mine")
        rows = {row["job_id"]: row["instructions"] for row in await mirrored(operator, 3, timeout=40)}
        assert rows["call"] == f"POST {server.url}/hook"
        assert rows["function"] == "reports:total"

        asked = [
            await operator.rpc("cron_request_run", p_job_id=job, p_payload=payload)
            for job, payload in (("call", {"a": 1}), ("function", {"sums": [1, 2]}), ("busy", None))
        ]
        call, function, busy = [await ended(operator, each["id"], timeout=60) for each in asked]
    assert (call["status"], call["attempts"], call["result"]["exit_code"]) == ("done", 2, None)
    assert call["result"]["stdout_tail"].startswith("HTTP/1.1 200 OK\n")
    assert call["result"]["stdout_tail"].endswith("\n\nyou are ***")
    assert [json.loads(each.body) for each in server.asked] == [{"a": 1}, {"a": 1}]
    (failed,) = await operator.select("cron_runs", job_id="eq.call", status="eq.error")
    assert (failed["reason"], failed["error"]) == ("http_status", "The answer was 503 Busy, expected was 200-299.")
    assert (function["status"], json.loads(function["result"]["stdout_tail"])) == ("done", {"total": 3, "unit": "EUR"})
    assert (busy["status"], busy["result"]["reason"]) == ("error", "signal")
    assert busy["result"]["error"].endswith("its cpu_time limit of 1s was used up.")
