"""Several projects, several roles: everything follows the chosen project, and nothing exceeds the role."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import OpenTab
from tests.support.stack import Person, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def add_job(project: Project, project_id: str, job_id: str, name: str) -> None:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name, agent_ids) values (%s, %s, %s, '{mac}')",
        *(project_id, job_id, name),
    )
    project.sql("insert into cron_run_requests (project_id, job_id) values (%s, %s)", project_id, job_id)


@pytest.fixture
def two_projects(project: Project) -> Person:
    """An operator here who is a viewer there; a job and a request in each."""
    add_job(project, project.project_id, "here", "Job of here")
    add_job(project, project.other_project_id, "there", "Job of there")
    project.sql(
        "insert into cron_project_members (project_id, user_id, role) values (%s, %s, 'viewer')",
        *(project.other_project_id, project.operator.user_id),
    )
    return project.operator


async def choose(page: Page, project_id: str) -> None:
    await page.get_by_role("combobox", name="Project").click()
    await page.get_by_role("option", name=project_id).click()


async def test_both_lists_follow_the_chosen_project_and_a_reload_keeps_it(
    open_tab: OpenTab, project: Project, two_projects: Person
) -> None:
    tab = await open_tab(two_projects)
    page = tab.page
    await choose(page, project.project_id)
    await expect(page.get_by_text("Job of here").first).to_be_visible()
    await expect(page.get_by_text("Job of there")).to_have_count(0)
    await expect(page.get_by_role("button", name=re.compile("^Run ")).first).to_be_visible()

    await choose(page, project.other_project_id)

    await expect(page.get_by_text("Job of there").first).to_be_visible()
    await expect(page.get_by_text("Job of here")).to_have_count(0)
    await expect(page.get_by_role("button", name=re.compile("^Run "))).to_have_count(0)

    for project_id, name in ((project.other_project_id, "Job of there"), (project.project_id, "Job of here")):
        await choose(page, project_id)
        await expect(page.get_by_text(name).first).to_be_visible()
        await page.reload()
        await expect(page.get_by_text(name).first).to_be_visible()
    await choose(page, project.other_project_id)
    for route, title in (("#/timeline", "Timeline"), ("#/agents", "Agents"), ("#/runs", "Runs")):
        await tab.go(route)
        await expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        await expect(page.get_by_text("Job of here")).to_have_count(0)


async def test_a_viewer_may_look_at_everything_and_press_nothing(open_tab: OpenTab, project: Project) -> None:
    add_job(project, project.project_id, "here", "Job of here")
    pressable = re.compile("^(Run( |$)|Pause|Resume|Cancel)")
    tab = await open_tab(project.viewer)
    for route in ("#/jobs", "#/jobs/here", "#/runs", "#/timeline", "#/agents"):
        await tab.go(route)
        await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
        if route != "#/agents":
            await expect(tab.page.get_by_role("main")).to_contain_text("here", ignore_case=True)
        await expect(tab.page.get_by_role("button", name=pressable)).to_have_count(0)

    tab = await open_tab(project.operator, "#/jobs/here")
    await expect(tab.page.get_by_role("button", name="Run Job of here")).to_be_visible()


async def test_who_belongs_to_no_project_is_told_what_to_do(open_tab: OpenTab, project: Project) -> None:
    project.sql("delete from cron_project_members where user_id = %s", project.viewer.user_id)
    tab = await open_tab(project.viewer)
    await expect(tab.page.get_by_text(str(project.viewer.user_id))).to_be_visible()
