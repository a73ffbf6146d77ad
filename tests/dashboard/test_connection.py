"""The connection panel: where the page is connected to, as whom, and how old what it shows is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from tests.dashboard.conftest import OpenTab
from tests.dashboard.showcase import Showcase
from tests.support.stack import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OLD = "What you see may be old."


def last_synced(project: Project, minutes: int) -> None:
    """As if the last sync of any agent had been so long ago."""
    ago = (minutes, project.project_id)
    project.sql("update cron_agents set last_sync_at = now() - %s * interval '1 min' where project_id = %s", *ago)
    project.sql("update cron_mirror set updated_at = now() - %s * interval '1 min' where project_id = %s", *ago)


async def test_the_panel_says_where_as_whom_and_how_fresh_and_warns_of_a_mirror_older_than_ten_minutes(
    open_tab: OpenTab, project: Project
) -> None:
    Showcase(project.stack.dsn, project.project_id).fill()
    page = (await open_tab(project.viewer)).page
    await page.get_by_role("button", name="Connection: Live").click()
    panel = page.get_by_role("dialog")
    await expect(panel).to_contain_text(f"Connected · {urlsplit(project.stack.url).netloc}")
    await expect(panel).to_contain_text(f"Signed in as {project.viewer.email}")
    await expect(panel).to_contain_text("Realtime is live")
    await expect(panel).to_contain_text(re.compile(r"Mirror: synced \d+ s ago"))

    last_synced(project, minutes=9)
    await expect(panel).to_contain_text("Mirror: synced 9 min ago")
    await expect(panel.get_by_text(OLD)).to_be_hidden()

    last_synced(project, minutes=11)
    await expect(panel).to_contain_text("Mirror: synced 11 min ago")
    await expect(panel.get_by_text(OLD)).to_contain_text("cronmirror status")

    last_synced(project, minutes=0)
    await expect(panel.get_by_text(OLD)).to_be_hidden()
