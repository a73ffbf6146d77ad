"""The page on any static host: without configuration, with a wrong one, and set up by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.conftest import OpenTab
from tests.support.stack import Project
from tests.support.static_host import StaticHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def enter(page: Page, url: str, key: str) -> None:
    await page.get_by_label("Project URL").fill(url)
    await page.get_by_label("Publishable key").fill(key)
    await page.get_by_role("button", name="Connect").click()


async def test_an_unconfigured_page_asks_for_the_project_and_works_with_what_is_entered(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    project.sql(
        "insert into cron_mirror (project_id, job_id, name) values (%s, 'here', 'Job of here')", project.project_id
    )
    tab = await open_tab(route="#/jobs")
    tab.expects("404")  # there is no config.json
    page = tab.page
    with StaticHost(tmp_path) as host:
        await page.goto(host.home)
        await enter(page, project.url, project.keys.publishable_key)
        await page.get_by_label("E-mail").fill(project.operator.email)
        await page.get_by_label(re.compile("^Password")).fill(project.operator.password)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("Job of here").first).to_be_visible()

        await page.goto(host.home + "#/jobs/here")
        await page.reload()
        await expect(page.get_by_role("heading", name="Job of here")).to_be_visible()


async def test_a_secret_key_is_refused_and_not_kept(open_tab: OpenTab, project: Project, tmp_path: Path) -> None:
    tab = await open_tab()
    tab.expects("404")
    with StaticHost(tmp_path) as host:
        for secret in (project.keys.secret_key, project.keys.service_key):
            await tab.page.goto(host.home)
            await enter(tab.page, project.url, secret)
            await expect(tab.page.get_by_text("secret key").first).to_be_visible()
            kept = await tab.page.evaluate("() => JSON.stringify({ ...localStorage, ...sessionStorage })")
            assert secret not in kept


async def test_a_secret_key_in_config_json_is_refused(open_tab: OpenTab, project: Project, tmp_path: Path) -> None:
    tab = await open_tab()
    with StaticHost(tmp_path, {"url": project.url, "key": project.keys.secret_key}) as host:
        await tab.page.goto(host.home)
        await expect(tab.page.get_by_text("secret key").first).to_be_visible()


async def test_a_wrong_key_is_named_as_such_and_can_be_entered_anew(
    open_tab: OpenTab, project: Project, tmp_path: Path
) -> None:
    tab = await open_tab()
    tab.expects("404|401")
    page = tab.page
    with StaticHost(tmp_path) as host:
        await page.goto(host.home)
        await enter(page, project.url, "sb_publishable_of_another_project_0123456789")
        await expect(page.get_by_role("heading", name="The key is not accepted")).to_be_visible()
        await page.get_by_role("button", name="Enter it again").click()
        await expect(page.get_by_label("Publishable key")).to_be_visible()
