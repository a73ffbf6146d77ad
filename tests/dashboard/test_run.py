"""The main journey: sign in, see the jobs, press Run, watch it end."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from agent.cli.demo.operator import Operator
from tests.dashboard.conftest import AgentWith, OpenTab
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

JOBS = "jobs:\n  hello: {name: Say hello, run: [echo, hello]}\n  broken: {shell: 'exit 3'}\n"


async def test_a_person_signs_in_sees_the_jobs_presses_run_and_sees_it_done(
    open_tab: OpenTab, agent_with: AgentWith, operator: Operator, project: Project
) -> None:
    await agent_with(JOBS)
    tab = await open_tab()
    page = tab.page
    await page.get_by_label("E-mail").fill(project.operator.email)
    await page.get_by_label(re.compile("^Password")).fill(project.operator.password)
    await page.get_by_role("button", name="Sign in").click()
    row = page.get_by_role("table", name="Jobs").get_by_role("row").filter(has_text="Say hello")
    await expect(row).to_be_visible()
    await row.get_by_role("button", name="Run Say hello").click()
    await expect(page.get_by_text("Will execute when mac picks it up")).to_be_visible()
    await expect(row.get_by_text(re.compile("^(done|ok)$"))).to_be_visible()
    await expect(page.get_by_role("region", name="Recent run requests")).to_contain_text("done")
    (request,) = await operator.select("cron_run_requests")
    assert (request["job_id"], request["status"]) == ("hello", "done")


async def test_a_link_of_the_stack_opens_the_page_signed_in_and_leaves_no_token_behind(
    open_tab: OpenTab, agent_with: AgentWith, project: Project
) -> None:
    await agent_with(JOBS)
    page = (await open_tab(project.operator)).page
    await expect(page.get_by_role("table", name="Jobs").get_by_role("row").filter(has_text="Say hello")).to_be_visible()
    assert "token" not in page.url
    await page.go_back()
    assert "token" not in page.url
    await page.reload()
    await expect(page.get_by_role("table", name="Jobs")).to_be_visible()
