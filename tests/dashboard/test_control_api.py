"""A Control API beside Supabase (docs/control-api.md): a real server of the test's own, on a third origin."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.async_api import Page, expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import OpenTab
from tests.dashboard.hosted import AWAY, hosted, sign_in
from tests.support.door import Door
from tests.support.http_server import Asked, plain, serving
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PREFLIGHT = {
    "Access_Control_Allow_Methods": "GET, POST",
    "Access_Control_Allow_Headers": "authorization, content-type",
}


@dataclass(kw_only=True)
class ControlApi:
    """An agent as the contract has it: a run is begun once, and its row appears in Supabase as of any other run."""

    project: Project
    allows: str = ""
    """The origin that may ask; empty: none."""
    loses: int = 0
    """So many answers to "run" are lost after the run has begun."""
    refuses: str = ""
    url: str = ""
    began: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ControlApi]:
        async with serving(self._answer) as server:
            self.url = server.url
            yield self

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        if asked.method == "OPTIONS":
            writer.write(plain(status="204 No Content", **PREFLIGHT, **self._cors(asked)))
        elif asked.path == "/healthz":
            self._say(writer, asked, {"service": "cronmirror", "version": "1.0", "api": 1})
        elif asked.method == "GET":
            told = {"jobId": "here", "name": "As its agent calls it", "enabled": True}
            self._say(writer, asked, {"jobs": [told]})
        else:
            self._run(asked, writer)

    def _run(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            self._say(writer, asked, {"error": self.refuses}, "409 Conflict")
            return
        run = json.loads(asked.body)["id"]
        if run not in self.began:
            self.began.append(run)
            self.project.sql(
                "insert into cron_runs (id, project_id, job_id, agent_id, trigger, attempt, status, started_at) "
                "values (%s, %s, 'here', 'mac', 'request', 1, 'running', now())",
                *(run, self.project.project_id),
            )
        if self.loses:
            self.loses -= 1
            writer.close()
        else:
            self._say(writer, asked, {"runId": run, "agentId": "mac"}, "202 Accepted")

    def _say(self, writer: asyncio.StreamWriter, asked: Asked, told: dict[str, Any], status: str = "200 OK") -> None:
        writer.write(plain(json.dumps(told).encode(), status, Content_Type="application/json", **self._cors(asked)))

    def _cors(self, asked: Asked) -> dict[str, str]:
        if not self.allows or asked.headers.get("origin") != self.allows:
            return {}
        return {"Access_Control_Allow_Origin": self.allows, "Vary": "Origin"}


@pytest.fixture(autouse=True)
def job(project: Project) -> None:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, agent_ids) values (%s, 'here', 'Job of here', '{mac}')",
        project.project_id,
    )


async def open_page(page: Page, home: str, project: Project) -> None:
    await page.goto(home)
    await sign_in(page, project.operator)
    await expect(page.get_by_role("button", name=re.compile("^Run ")).first).to_be_visible()


def origin(home: str) -> str:
    return home.split("/tools", maxsplit=1)[0]


async def control_line(page: Page) -> str:
    await page.get_by_role("button", name=re.compile("^Connection")).click()
    heading = page.get_by_role("heading", name="Control API")
    line = heading.locator("xpath=following-sibling::*[1]")
    await expect(line).not_to_contain_text("Looking")
    told = await line.inner_text()
    await page.keyboard.press("Escape")
    return told.strip()


async def test_a_run_goes_to_the_agent_directly_and_shows_like_any_other(
    open_tab: OpenTab, project: Project, operator: Operator, tmp_path: Path
) -> None:
    page = (await open_tab()).page
    async with ControlApi(project=project).running() as control:
        with hosted(tmp_path, project, controlUrl=control.url) as host:
            control.allows = origin(host.home)
            await open_page(page, host.home, project)
            await expect(page.get_by_text("As its agent calls it").first).to_be_visible()
            await page.get_by_role("button", name="Run As its agent calls it").click()

            await expect(page.get_by_text("Started on mac, directly.")).to_be_visible()
            row = page.get_by_role("table", name="Jobs").get_by_role("row").filter(has_text="As its agent calls it")
            await expect(row.get_by_text("running", exact=True)).to_be_visible()
            assert await operator.select("cron_run_requests") == []
            assert await control_line(page) == "Reachable"

    (asked,) = [each for each in control.asked if each.method == "POST"]
    assert asked.path == f"/v1/projects/{project.project_id}/jobs/here/run"
    told = jwt.decode(asked.headers["authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    assert told["sub"] == str(project.operator.user_id)


@pytest.mark.parametrize(("loses", "said"), [(1, "Started on mac, directly."), (99, "did not say whether it runs")])
async def test_a_job_runs_once_although_the_answer_is_lost(
    open_tab: OpenTab, project: Project, operator: Operator, tmp_path: Path, loses: int, said: str
) -> None:
    """The browser itself repeats a POST when a connection that it kept turns out to be closed."""
    tab = await open_tab()
    tab.expects(AWAY)
    page = tab.page
    async with ControlApi(project=project, loses=loses).running() as control:
        with hosted(tmp_path, project, controlUrl=control.url) as host:
            control.allows = origin(host.home)
            await open_page(page, host.home, project)
            await page.get_by_role("button", name=re.compile("^Run ")).first.click()
            await expect(page.get_by_text(said)).to_be_visible()
    assert len(control.began) == 1
    assert await operator.select("cron_run_requests") == []


async def test_what_the_agent_refuses_is_said_and_does_not_go_round_through_the_queue(
    open_tab: OpenTab, project: Project, operator: Operator, tmp_path: Path
) -> None:
    tab = await open_tab()
    tab.expects("409")
    page = tab.page
    async with ControlApi(project=project, refuses="the agent is paused until 18:00").running() as control:
        with hosted(tmp_path, project, controlUrl=control.url) as host:
            control.allows = origin(host.home)
            await open_page(page, host.home, project)
            await page.get_by_role("button", name=re.compile("^Run ")).first.click()
            await expect(page.get_by_text("the agent is paused until 18:00")).to_be_visible()
    assert await operator.select("cron_run_requests") == []


@pytest.mark.parametrize("there", [False, True], ids=["nobody-listens", "this-origin-is-not-allowed"])
async def test_where_it_cannot_be_reached_the_run_is_queued(
    open_tab: OpenTab, project: Project, operator: Operator, tmp_path: Path, there: bool
) -> None:
    tab = await open_tab()
    tab.expects(f"{AWAY}|CORS policy|ERR_FAILED")
    page = tab.page
    async with ControlApi(project=project).running() as control:
        url = control.url if there else Door(project.url).url
        with hosted(tmp_path, project, controlUrl=url) as host:
            await open_page(page, host.home, project)
            await page.get_by_role("button", name="Run Job of here").click()
            await expect(page.get_by_text("Will execute when mac picks it up")).to_be_visible()
            assert await control_line(page) == "Not reachable; everything goes through Supabase"
    assert control.began == []
    assert [each["status"] for each in await operator.select("cron_run_requests")] == ["queued"]


async def test_without_one_the_panel_says_that_it_is_optional(open_tab: OpenTab, project: Project) -> None:
    page = (await open_tab(project.viewer)).page
    assert await control_line(page) == "Not configured (optional)"
